package cursor_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// world has a message Event that holds a cursor of some kind, and a request that takes it. maybe is the cursor with
// presence.
type world struct {
	t              testing.TB
	event, request protoreflect.MessageDescriptor
	resume         schema.Resume
	field          *transcode.Field // of the event
}

func newWorld(t testing.TB, kind, field string, inclusive bool) *world {
	t.Helper()
	fdp := &descriptorpb.FileDescriptorProto{}
	text := `name: "w.proto" package: "w" syntax: "proto3"
		message_type { name: "Event"
			field { name: "cursor" number: 1 type: TYPE_KIND label: LABEL_OPTIONAL }
			field { name: "maybe" number: 2 type: TYPE_KIND label: LABEL_OPTIONAL oneof_index: 0 proto3_optional: true }
			field { name: "text" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
			oneof_decl { name: "_maybe" } }
		message_type { name: "Request"
			field { name: "topic" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "page" number: 2 type: TYPE_MESSAGE type_name: ".w.Page" label: LABEL_OPTIONAL } }
		message_type { name: "Page"
			field { name: "after" number: 1 type: TYPE_KIND label: LABEL_OPTIONAL }
			field { name: "size" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL } }`
	if err := prototext.Unmarshal([]byte(strings.ReplaceAll(text, "KIND", strings.ToUpper(kind))), fdp); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(fdp, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, event: fd.Messages().ByName("Event"), request: fd.Messages().ByName("Request")}
	page := w.request.Fields().ByName("page")
	w.resume = schema.Resume{
		Event:     schema.FieldPath{w.event.Fields().ByName(protoreflect.Name(field))},
		Request:   schema.FieldPath{page, page.Message().Fields().ByName("after")},
		Inclusive: inclusive,
	}
	w.field = transcode.NewField(w.resume.Event)
	return w
}

func (w *world) rule() *cursor.Rule { return cursor.NewRule(&w.resume) }

// message is an event with the cursor v; one without a cursor for the zero Value.
func (w *world) message(v cursor.Value) []byte {
	if v == (cursor.Value{}) {
		return nil
	}
	return w.field.Append(nil, v)
}

// encoded is a request from its text form.
func (w *world) encoded(text string) []byte {
	w.t.Helper()
	m := dynamicpb.NewMessage(w.request)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		w.t.Fatal(err)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// text is a request's text form, without random spaces.
func (w *world) text(wire []byte) string {
	w.t.Helper()
	m := dynamicpb.NewMessage(w.request)
	if err := proto.Unmarshal(wire, m); err != nil {
		w.t.Fatal(err)
	}
	raw, err := prototext.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(raw)), " ")
}

func i(v int64) cursor.Value  { return transcode.IntValue(v) }
func u(v uint64) cursor.Value { return transcode.UintValue(v) }
func s(v string) cursor.Value { return transcode.TextValue(v) }
