package transcode_test

import (
	"bytes"
	"encoding/json"
	"testing"

	proto2pb "cel.dev/expr/conformance/proto2"
	proto3pb "cel.dev/expr/conformance/proto3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// reference renders wire with nothing but protojson and encoding/json.
func reference(md protoreflect.MessageDescriptor, wire []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(md)
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: global}).Unmarshal(wire, m); err != nil {
		return nil, err
	}
	raw, err := protojson.MarshalOptions{AllowPartial: true, Resolver: global}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var compact, escaped bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, err
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes(), nil
}

// FuzzEncoder gives the encoder what a hostile backend may send. Whatever it is, the result is one frame that reads
// back as one event with the id; what can be rendered is what protojson says.
func FuzzEncoder(f *testing.F) {
	for _, m := range []proto.Message{
		&proto3pb.TestAllTypes{SingleString: "<\u2028\u2029>&\\\"\x00", MapInt32String: map[int32]string{1: "a", -1: "b"}},
		&proto3pb.TestAllTypes{Kind: &proto3pb.TestAllTypes_OneofMsg{OneofMsg: &proto3pb.TestAllTypes_NestedMessage{Bb: 1}}},
		&proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "a/google.protobuf.Value", Value: []byte{8, 0}}},
		&proto3pb.TestAllTypes{SingleValue: structpb.NewStringValue("x"), RepeatedInt64: []int64{1, -1}},
		&chatv1.CompleteResponse{Sequence: 1, Event: &chatv1.CompleteResponse_Failed{Failed: &chatv1.Failed{Reason: "r"}}},
	} {
		f.Add(marshal(f, m))
	}
	md3, md2, chat := descriptor(&proto3pb.TestAllTypes{}), descriptor(&proto2pb.TestAllTypes{}), descriptor(&chatv1.CompleteResponse{})
	var methods []*schema.Method
	add := func(md protoreflect.MessageDescriptor, caseValue bool, from schema.EventType) {
		m := methodOf(nil, md)
		m.Stream.CaseValue, m.Stream.Event = caseValue, from
		methods = append(methods, m)
	}
	add(md3, false, schema.EventType{Field: md3.Fields().ByName("single_string")})
	add(md3, true, schema.EventType{Oneof: md3.Oneofs().ByName("kind")})
	add(md2, true, schema.EventType{Oneof: md2.Oneofs().ByName("kind")})
	add(md2, false, schema.EventType{Field: md2.Fields().ByName("standalone_enum")})
	add(chat, true, schema.EventType{Oneof: chat.Oneofs().ByName("event")})
	encoders := make([]*transcode.Encoder, len(methods))
	for i, m := range methods {
		encoders[i] = transcode.NewEncoder(m)
	}
	id := event.At(12, event.NewMark())
	f.Fuzz(func(t *testing.T, wire []byte) {
		for i, e := range encoders {
			checkFrame(t, e, id, wire)
			got, err := e.AppendJSON(nil, wire)
			want, wantErr := reference(methods[i].Output, wire)
			if err == nil && (wantErr != nil || !bytes.Equal(got, want)) {
				t.Fatalf("%s\n%x\n got %s\nwant %s, %v", methods[i].Output.FullName(), wire, got, want, wantErr)
			}
			if err != nil && wantErr == nil {
				t.Fatalf("%s\n%x\n got %v\nwant %s", methods[i].Output.FullName(), wire, err, want)
			}
		}
	})
}

func checkFrame(t *testing.T, e *transcode.Encoder, id event.ID, wire []byte) {
	frame := e.AppendFrame(nil, id, wire)
	if !bytes.Equal(frame, e.AppendFrame(nil, id, wire)) {
		t.Fatalf("%x: two frames for one message", wire)
	}
	p := sse.NewParser(bytes.NewReader(frame), 1<<30)
	got, err := p.Next()
	if err != nil {
		t.Fatalf("%q: %v", frame, err)
	}
	if got.ID != id.String() || !json.Valid([]byte(got.Data)) || bytes.ContainsAny([]byte(got.Data), "<>&\n\u2028\u2029") {
		t.Fatalf("%q reads as %+v", frame, got)
	}
	if _, ok := sse.ParseEventName(got.Type); !ok || got.Type == "error" || got.Type == "open" {
		t.Fatalf("%q has the type %q", frame, got.Type)
	}
	if again, err := p.Next(); err == nil {
		t.Fatalf("%q holds another event: %+v", frame, again)
	}
}
