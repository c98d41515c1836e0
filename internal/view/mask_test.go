package view_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// TestMaskOfOwnJSON: a response that is no object of its fields in JSON has none that can be named.
func TestMaskOfOwnJSON(t *testing.T) {
	for path, m := range map[string]proto.Message{
		"fields": &structpb.Struct{}, "value": &anypb.Any{}, "list_value": &structpb.Value{}, "seconds": &timestamppb.Timestamp{},
	} {
		md := m.ProtoReflect().Descriptor()
		f, err := view.NewFields(&schema.Method{Name: "a.S.M", Output: md}, path)
		if err != nil {
			continue
		}
		t.Errorf("%s: fields=%s is accepted; {\"a\":1} becomes %s", md.FullName(), path, shown(t, view.Options{Fields: f}, "m", `{"a":1}`))
	}
}

// TestMaskBesideResponseField: a mask that leaves the route's field out must not show another value in its place.
func TestMaskBesideResponseField(t *testing.T) {
	m := method(t, "Quote")
	at := m.Output.Fields().ByName("bids")
	const data = `{"symbol":"A","bids":[{"units":"5"}]}`
	for paths, want := range map[string]string{"symbol": "", "bids.units": `[{"units":"5"}]`, "symbol,bids": `[{"units":"5"}]`} {
		f, err := view.NewFields(m, paths)
		if err == nil {
			err = f.Beside(at)
		}
		if err != nil {
			if want != "" {
				t.Error(err)
			}
			continue
		}
		if got := shown(t, view.Options{Fields: f, ResponseField: at}, "m", data); got != want {
			t.Errorf("fields=%s of %s with response_body bids: %s, want %s", paths, data, got, want)
		}
	}
}

// TestResponseFieldOfStruct: the field of a Struct that a response_body names is its only one.
func TestResponseFieldOfStruct(t *testing.T) {
	fd := (&structpb.Struct{}).ProtoReflect().Descriptor().Fields().ByName("fields")
	if got := string(view.ResponseField(fd, []byte(`{"a":1}`))); got != `{"a":1}` {
		t.Error(got)
	}
}

// TestDefaultFloats: what stands for a field that is not set is written like one that is.
func TestDefaultFloats(t *testing.T) {
	fields := messages(t, `syntax: "proto2" message_type { name: "M"
	  field { name: "a" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "a" default_value: "1000000" }
	  field { name: "b" number: 2 type: TYPE_FLOAT label: LABEL_OPTIONAL json_name: "b" default_value: "1e-05" }
	  field { name: "c" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "c" default_value: "1e-09" }
	}`).ByName("M").Fields()
	for name, want := range map[string]string{"a": "1000000", "b": "0.00001", "c": "1e-9"} {
		if got := string(view.ResponseField(fields.ByName(protoreflect.Name(name)), []byte(`{}`))); got != want {
			t.Errorf("%s: %s, want %s as protojson writes it", name, got, want)
		}
	}
}

// TestRawTypeWithLineEnd: control characters must not get into a header: over HTTP/2 net/http leaves such a header out.
func TestRawTypeWithLineEnd(t *testing.T) {
	for _, said := range []string{`text/html\n`, `\r\ntext/html`, `text/html;\n charset=utf-8`} {
		v := view.New(batches(frame(id(2), "m", `{"contentType":"`+said+`","data":"QQ=="}`)), view.Options{Representation: view.Raw})
		v.Opening(nil, 0)
		_, _ = v.Next(100)
		if got := v.ContentType(); got != "application/octet-stream" {
			t.Errorf("%q gives the type %q", said, got)
		}
	}
}

// TestManyPathsOfManyCases: a path that one case has costs the others no more than a look. To say for each of them what
// may have been meant would take seconds.
func TestManyPathsOfManyCases(t *testing.T) {
	const cases, fields, paths = 20, 15, 1000
	var file, update strings.Builder
	for c := range cases {
		fmt.Fprintf(&file, "message_type { name: 'C%d' ", c)
		for f := range fields {
			fmt.Fprintf(&file, "field { name: 'some_field_%c%c' number: %d type: TYPE_STRING label: LABEL_OPTIONAL } ", 'a'+c, 'a'+f, f+1)
		}
		if c == cases-1 {
			file.WriteString("field { name: 'id' number: 99 type: TYPE_STRING label: LABEL_OPTIONAL } ")
		}
		file.WriteString("}\n")
		fmt.Fprintf(&update, "field { name: 'case_%c' number: %d type: TYPE_MESSAGE type_name: '.test.v1.C%d' label: LABEL_OPTIONAL oneof_index: 0 } ", 'a'+c, c+1, c)
	}
	text := fmt.Sprintf("syntax: 'proto3' %s message_type { name: 'Update' %s oneof_decl { name: 'event' } }", &file, &update)
	md := messages(t, text).ByName("Update")
	m := &schema.Method{Name: "test.v1.S.Watch", Output: md}
	m.Stream.CaseValue, m.Stream.Event.Oneof = true, md.Oneofs().Get(0)
	asked := strings.TrimSuffix(strings.Repeat("id,", paths), ",")
	allocs := testing.AllocsPerRun(1, func() {
		if _, err := view.NewFields(m, asked); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > cases*paths/2 {
		t.Errorf("%d paths of %d cases take %.0f allocations", paths, cases, allocs)
	}
}
