package transcode_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// scalars are all scalar kinds, and an enum.
var scalars = []string{
	"INT32", "SINT32", "SFIXED32", "INT64", "SINT64", "SFIXED64", "UINT32", "FIXED32", "UINT64", "FIXED64",
	"BOOL", "FLOAT", "DOUBLE", "STRING", "BYTES", "ENUM",
}

// fieldMessage is a message with a field of each kind, without presence, with it, and in a oneof, and with itself inside
// it in all ways that there are.
func fieldMessage(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	var b strings.Builder
	n := 0
	add := func(name, kind, features, more string) {
		n++
		typeName := map[string]string{"ENUM": `type_name: ".test.v1.E"`, "MESSAGE": `type_name: ".test.v1.M"`}[kind]
		if features != "" {
			features = "options { features { " + features + " } }"
		}
		fmt.Fprintf(&b, `field { name: "%s" number: %d type: TYPE_%s label: LABEL_OPTIONAL %s %s %s }`+"\n", name, n, kind, typeName, features, more)
	}
	for _, kind := range scalars {
		add("plain_"+strings.ToLower(kind), kind, "field_presence: IMPLICIT", "")
		add("maybe_"+strings.ToLower(kind), kind, "", "")
	}
	add("sub", "MESSAGE", "", "")
	add("group", "MESSAGE", "message_encoding: DELIMITED", "")
	for _, kind := range scalars {
		add("case_"+strings.ToLower(kind), kind, "", "oneof_index: 0")
	}
	add("case_sub", "MESSAGE", "", "oneof_index: 0")
	add("case_group", "MESSAGE", "message_encoding: DELIMITED", "oneof_index: 0")
	return message(t, `syntax: "editions" edition: EDITION_2023
		enum_type { name: "E" value { name: "NONE" number: 0 } value { name: "ONE" number: 1 } }
		message_type { name: "M" `+b.String()+` oneof_decl { name: "only" } }`)
}

// pathOf is the path that names give.
func pathOf(t testing.TB, md protoreflect.MessageDescriptor, names string) schema.FieldPath {
	t.Helper()
	var path schema.FieldPath
	for name := range strings.SplitSeq(names, ".") {
		fd := md.Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			t.Fatalf("no field %s", name)
		}
		path, md = append(path, fd), fd.Message()
	}
	return path
}

// textOf tells values apart: the text of a scalar, a float's by its bits.
func textOf(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return fmt.Sprint(protowire.EncodeBool(v.Bool()))
	case protoreflect.EnumKind:
		return fmt.Sprint(int32(v.Enum()))
	case protoreflect.FloatKind:
		return fmt.Sprint(math.Float32bits(float32(v.Float())))
	case protoreflect.DoubleKind:
		return fmt.Sprint(math.Float64bits(v.Float()))
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", v.String())
	case protoreflect.BytesKind:
		return fmt.Sprintf("%q", v.Bytes())
	default:
		return fmt.Sprint(v.Interface())
	}
}

func textOfFound(fd protoreflect.FieldDescriptor, v transcode.Value) string {
	switch fd.Kind() {
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return fmt.Sprint(v.Uint())
	default:
		return v.String()
	}
}

// follow is the message that holds a path's last field, or nil where a message before it is not there.
func follow(m protoreflect.Message, path schema.FieldPath) protoreflect.Message {
	for _, fd := range path[:len(path)-1] {
		if !m.Has(fd) {
			return nil
		}
		m = m.Get(fd).Message()
	}
	return m
}

func checkFind(t interface{ Fatalf(string, ...any) }, path schema.FieldPath, wire []byte, m protoreflect.Message) {
	f, leaf := transcode.NewField(path), path.Leaf()
	got, ok := f.Find(wire)
	holder := follow(m, path)
	want := holder != nil && holder.Has(leaf)
	if ok != want {
		t.Fatalf("%s in %x: found: %v, want %v", path, wire, ok, want)
	}
	if set := want && (leaf.Kind() != protoreflect.BoolKind || holder.Get(leaf).Bool()); f.IsSet(wire) != set {
		t.Fatalf("%s in %x: set: %v, want %v", path, wire, f.IsSet(wire), set)
	}
	if want && textOfFound(leaf, got) != textOf(leaf, holder.Get(leaf)) {
		t.Fatalf("%s in %x: %s, want %s", path, wire, textOfFound(leaf, got), textOf(leaf, holder.Get(leaf)))
	}
	if !want && got != (transcode.Value{}) {
		t.Fatalf("%s in %x: nothing, and yet %s", path, wire, got)
	}
}

func decode(t interface{ Fatalf(string, ...any) }, md protoreflect.MessageDescriptor, wire []byte) protoreflect.Message {
	m := dynamicpb.NewMessage(md)
	if err := proto.Unmarshal(wire, m); err != nil {
		t.Fatalf("%x: %v", wire, err)
	}
	return m
}

// Find finds what a decoder does.
func TestFieldFind(t *testing.T) {
	md := fieldMessage(t)
	rapid.Check(t, func(t *rapid.T) {
		path := drawPath(t, md)
		wire := drawWire(t, md, path, 3)
		checkFind(t, path, wire, decode(t, md, wire))
	})
}

// A varint may be larger than its field: every reader cuts it off in the same way.
func TestFieldOutOfRange(t *testing.T) {
	md := fieldMessage(t)
	for _, kind := range scalars {
		for _, form := range []string{"plain_", "maybe_"} {
			path := pathOf(t, md, form+strings.ToLower(kind))
			for _, v := range []uint64{0, 1, 2, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<33 + 3, 1 << 63, math.MaxUint64} {
				wire := protowire.AppendVarint(protowire.AppendTag(nil, path.Leaf().Number(), protowire.VarintType), v)
				checkFind(t, path, wire, decode(t, md, wire))
			}
		}
	}
}

// What Append has written is what a decoder finds, and it finds everything else as it was.
func TestFieldAppend(t *testing.T) {
	md := fieldMessage(t)
	rapid.Check(t, func(t *rapid.T) {
		path := drawPath(t, md)
		wire := drawWire(t, md, path, 3)
		value := drawScalar(t, path.Leaf())
		v, ok := transcode.NewField(path[len(path)-1:]).Find(appendScalar(nil, path.Leaf(), value))
		if !ok {
			return // the default value of a field without presence, which is no value
		}
		want := decode(t, md, wire)
		holder := want
		for _, fd := range path[:len(path)-1] {
			holder = holder.Mutable(fd).Message()
		}
		holder.Set(path.Leaf(), value)
		set := transcode.NewField(path).Append(bytes.Clone(wire), v)
		if !bytes.HasPrefix(set, wire) {
			t.Fatalf("%x does not begin with %x", set, wire)
		}
		got := decode(t, md, set)
		if !proto.Equal(want.Interface(), got.Interface()) {
			t.Fatalf("%s = %s in %x: %v, want %v", path, v, wire, got, want)
		}
		checkFind(t, path, set, got)
	})
}

// A default value is written, too: it may have to take the place of another.
func TestFieldAppendsZero(t *testing.T) {
	md := fieldMessage(t)
	f := transcode.NewField(pathOf(t, md, "sub.plain_int64"))
	wire := f.Append(f.Append(nil, transcode.IntValue(5)), transcode.IntValue(0))
	if v, ok := f.Find(wire); ok {
		t.Errorf("after 5 and 0: %s", v)
	}
	maybe := transcode.NewField(pathOf(t, md, "group.maybe_string"))
	if v, ok := maybe.Find(maybe.Append(nil, transcode.TextValue(""))); !ok || v != transcode.TextValue("") {
		t.Errorf("an empty string with presence: %s, %v", v, ok)
	}
}

func TestFieldIsSetOfMessages(t *testing.T) {
	md := fieldMessage(t)
	for _, c := range []struct {
		path, text string
		want       bool
	}{
		{"sub", ``, false},
		{"sub", `sub {}`, true},
		{"group", `group {}`, true},
		{"case_sub", `case_sub {}`, true},
		{"case_group", `case_bool: true`, false},
		{"sub.case_group", `sub { case_group {} }`, true},
		{"sub.case_group", `sub { case_sub {} }`, false},
		{"case_bool", `case_bool: false`, false},
		{"case_string", `case_string: ""`, true},
		{"plain_enum", `plain_enum: ONE`, true},
		{"maybe_enum", `maybe_enum: NONE`, true},
	} {
		f := transcode.NewField(pathOf(t, md, c.path))
		wire := marshal(t, fromText(t, md, c.text))
		if got := f.IsSet(wire); got != c.want {
			t.Errorf("%s in %q: set: %v", c.path, c.text, got)
		}
		if v, ok := f.Find(wire); ok && f.IsSet(wire) && strings.HasSuffix(c.path, "sub") {
			t.Errorf("a message has the value %s", v)
		}
	}
}

// bad are messages that no decoder takes.
var bad = map[string][]byte{
	"field number 0":           {0x00, 0x01},
	"cut off in a tag":         {0x80},
	"cut off in a value":       {0x08},
	"cut off in a length":      {0x7a, 0x05, 'x'},
	"an end without a start":   {0x0c},
	"a start without an end":   {0x0b},
	"wire type 7":              {0x0f},
	"an overlong varint":       {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	"a field number too large": protowire.AppendVarint(protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3), 1),
}

func TestFieldOfAMalformedMessage(t *testing.T) {
	md := fieldMessage(t)
	good := marshal(t, fromText(t, md, `sub { maybe_int64: 5 } maybe_string: "x"`))
	top, nested := transcode.NewField(pathOf(t, md, "maybe_string")), transcode.NewField(pathOf(t, md, "sub.maybe_int64"))
	for name, b := range bad {
		in := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(good), md.Fields().ByName("sub").Number(), protowire.BytesType), b)
		for _, wire := range [][]byte{append(bytes.Clone(good), b...), append(bytes.Clone(b), good...), b} {
			if v, ok := top.Find(wire); ok || top.IsSet(wire) {
				t.Errorf("%s: found %s", name, v)
			}
		}
		if v, ok := nested.Find(in); ok {
			t.Errorf("%s in the submessage: found %s", name, v)
		}
	}
	notUTF8 := protowire.AppendString(protowire.AppendTag(nil, md.Fields().ByName("maybe_string").Number(), protowire.BytesType), "\xff")
	if v, ok := top.Find(notUTF8); ok {
		t.Errorf("a string that is not UTF-8: %s", v)
	}
}

// What Find returns stays when the buffer is used for the next message.
func TestFieldValueIsACopy(t *testing.T) {
	md := fieldMessage(t)
	wire := marshal(t, fromText(t, md, `maybe_bytes: "abc"`))
	v, _ := transcode.NewField(pathOf(t, md, "maybe_bytes")).Find(wire)
	clear(wire)
	if v != transcode.TextValue("abc") {
		t.Errorf("%s", v)
	}
}

// FuzzField gives Find what a hostile backend may send: whatever a decoder takes, both read alike.
func FuzzField(f *testing.F) {
	md := fieldMessage(f)
	for _, text := range []string{
		`sub { maybe_int64: 5 case_sub { plain_string: "x" } } case_group { maybe_sint32: -1 }`,
		`case_string: "a" maybe_double: nan plain_enum: ONE`,
	} {
		f.Add(marshal(f, fromText(f, md, text)))
	}
	for _, b := range bad {
		f.Add(b)
	}
	var paths []schema.FieldPath
	for _, prefix := range []string{"", "sub.", "group.", "case_sub.case_group."} {
		for _, form := range []string{"plain_", "maybe_", "case_"} {
			for _, kind := range scalars {
				paths = append(paths, pathOf(f, md, prefix+form+strings.ToLower(kind)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := dynamicpb.NewMessage(md)
		err := proto.Unmarshal(wire, m)
		for _, path := range paths {
			if err == nil {
				checkFind(t, path, wire, m)
				continue
			}
			transcode.NewField(path).Find(wire) // must come back
		}
	})
}

func BenchmarkFieldFind(b *testing.B) {
	md := fieldMessage(b)
	wire := marshal(b, fromText(b, md, `plain_int64: 1 maybe_string: "a symbol" sub { plain_int64: 7 maybe_string: "another" } group { plain_int64: 8 }`))
	for _, path := range []string{"plain_int64", "sub.plain_int64", "group.plain_int64", "sub.maybe_string"} {
		b.Run(path, func(b *testing.B) {
			f := transcode.NewField(pathOf(b, md, path))
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := f.Find(wire); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func TestFieldFindAllocates(t *testing.T) {
	md := fieldMessage(t)
	wire := marshal(t, fromText(t, md, `sub { plain_int64: 7 maybe_string: "a symbol of some length" }`))
	for path, want := range map[string]float64{"sub.plain_int64": 0, "sub.maybe_string": 1, "group.maybe_string": 0} {
		f := transcode.NewField(pathOf(t, md, path))
		if got := testing.AllocsPerRun(100, func() { f.Find(wire) }); got > want {
			t.Errorf("%s: %v allocations, want %v", path, got, want)
		}
	}
}
