package render_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// nest is a message that can hold itself in every way.
const nest = `name: "nest.proto" package: "nest.v1" syntax: "editions" edition: EDITION_2023 dependency: "google/protobuf/any.proto"
message_type { name: "M"
  field { name: "sub" number: 1 type: TYPE_MESSAGE type_name: ".nest.v1.M" label: LABEL_OPTIONAL }
  field { name: "subs" number: 2 type: TYPE_MESSAGE type_name: ".nest.v1.M" label: LABEL_REPEATED }
  field { name: "map" number: 3 type: TYPE_MESSAGE type_name: ".nest.v1.M.MapEntry" label: LABEL_REPEATED }
  field { name: "group" number: 4 type: TYPE_MESSAGE type_name: ".nest.v1.M" label: LABEL_OPTIONAL options { features { message_encoding: DELIMITED } } }
  field { name: "case_sub" number: 5 type: TYPE_MESSAGE type_name: ".nest.v1.M" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "case_text" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "any" number: 7 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
  field { name: "numbers" number: 8 type: TYPE_MESSAGE type_name: ".nest.v1.M.NumbersEntry" label: LABEL_REPEATED }
  nested_type { name: "MapEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".nest.v1.M" label: LABEL_OPTIONAL } }
  nested_type { name: "NumbersEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
  oneof_decl { name: "one" } }`

// file builds a file and a resolver of its types.
func file(t testing.TB, text string) (protoreflect.FileDescriptor, *dynamicpb.Types) {
	t.Helper()
	fdp := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(text), fdp); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	files := new(protoregistry.Files)
	if err := files.RegisterFile(anypb.File_google_protobuf_any_proto); err != nil {
		t.Fatal(err)
	}
	if err := files.RegisterFile(fd); err != nil {
		t.Fatal(err)
	}
	return fd, dynamicpb.NewTypes(files)
}

func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// ways put a message into another one.
var ways = map[string]func(inner []byte) []byte{
	"message": func(inner []byte) []byte { return field(1, inner) },
	"list":    func(inner []byte) []byte { return field(2, inner) },
	"map":     func(inner []byte) []byte { return field(3, field(2, inner)) },
	"group": func(inner []byte) []byte {
		b := append(protowire.AppendTag(nil, 4, protowire.StartGroupType), inner...)
		return protowire.AppendTag(b, 4, protowire.EndGroupType)
	},
	"case":    func(inner []byte) []byte { return field(5, inner) },
	"dropped": func(inner []byte) []byte { return append(field(5, inner), field(6, []byte("x"))...) },
	"split":   func(inner []byte) []byte { return append(field(1, inner), field(1, nil)...) },
	"twice":   func(inner []byte) []byte { return append(field(3, field(2, inner)), field(3, field(2, nil))...) },
}

// A message may be a thousand levels deep, and what is around and inside makes no difference to protobuf's own limit.
func TestDepth(t *testing.T) {
	fd, types := file(t, nest)
	md := fd.Messages().ByName("M")
	program := render.NewTypes(types).Program(md)
	for name, wrap := range ways {
		for depth := range 1002 {
			if depth > 1 && depth < 498 || depth > 501 && depth < 998 || depth > 501 && (name == "map" || name == "twice") {
				continue
			}
			// What is innermost: nothing, an entry of a map, one that has no value, one of another wire type, a mistake.
			for _, core := range [][]byte{nil, field(3, field(2, nil)), field(3, nil), {3 << 3, 1}, field(8, nil), {0x0a}} {
				wire := core
				for range depth {
					wire = wrap(wire)
				}
				ref := reference{md: md, types: types, name: fmt.Sprintf("%d × %s around %x", depth, name, core)}
				ref.compare(t, program, wire)
				if depth >= 998 {
					ref.compare(t, render.NewTypes(types).Program(md), wire) // which has met nothing yet
				}
				ref.oneof = md.Oneofs().Get(0)
				ref.compare(t, program, wire)
			}
		}
	}
}

func TestAnyDepth(t *testing.T) {
	fd, types := file(t, nest)
	md := fd.Messages().ByName("M")
	program := render.NewTypes(types).Program(md)
	for _, core := range [][]byte{nil, {0xff}, field(7, field(1, []byte("no.Such"))), field(7, field(2, []byte("x")))} {
		wire := core
		for depth := range 20 {
			ref := reference{md: md, types: types, name: fmt.Sprintf("%d × Any around %x", depth, core)}
			ref.compare(t, program, wire)
			wire = field(7, append(field(1, []byte("x/nest.v1.M")), field(2, wire)...))
		}
	}
}

// Protobuf's own decoder panics here; the occurrence that is of another wire type is an unknown field.
func TestKeyOfAnotherWireType(t *testing.T) {
	fd, types := file(t, nest)
	md := fd.Messages().ByName("M")
	entry := append(field(1, []byte("k")), 1<<3, 5)
	got, reason := reference{md: md}.rendered(render.NewTypes(types).Program(md), field(3, entry))
	if string(got) != `{"map":{"k":{}}}` || reason != "" {
		t.Errorf("%s %s", got, reason)
	}
}

// The work for a message is in proportion to its length, however it is made.
func TestHostileMessages(t *testing.T) {
	fd, types := file(t, nest)
	md := fd.Messages().ByName("M")
	program := render.NewTypes(types).Program(md)
	deep := []byte{}
	for range 900 {
		deep = append(field(1, deep), field(1, nil)...)
	}
	for name, wire := range map[string][]byte{
		"parts":       bytes.Repeat(field(1, field(2, nil)), 200_000),
		"deep parts":  bytes.Repeat(field(1, deep), 100),
		"one key":     bytes.Repeat(field(3, nil), 200_000),
		"cases":       bytes.Repeat(append(field(5, nil), field(6, nil)...), 200_000),
		"long string": field(6, []byte(strings.Repeat("<", 1_000_000))),
		"empty Any":   bytes.Repeat(field(7, nil), 200_000),
	} {
		start := time.Now()
		if _, reason := (reference{md: md}).rendered(program, wire); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(wire))
		}
	}
}

func TestTimestamps(t *testing.T) {
	md := (&timestamppb.Timestamp{}).ProtoReflect().Descriptor()
	program := render.NewTypes(global).Program(md)
	first := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	days := int(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Sub(time.Date(9900, 1, 1, 0, 0, 0, 0, time.UTC)).Hours()/24) + 9899*365 + 9899/4 - 9899/100 + 9899/400
	var dst []byte
	for day := 0; day < days; day++ {
		at := first.AddDate(0, 0, day).Add(time.Duration(day*7919%86400) * time.Second)
		dst = mustRender(t, program, dst[:0], marshal(t, timestamppb.New(at)))
		if want := at.Format(`"2006-01-02T15:04:05Z"`); string(dst) != want {
			t.Fatalf("%s, want %s", dst, want)
		}
		if day > 1000 && day < days-1000 {
			day += 40
		}
	}
}
