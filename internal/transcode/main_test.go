package transcode_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// global resolves every type linked into the test.
var global = dynamicpb.NewTypes(protoregistry.GlobalFiles)

// methodOf is a method with the given messages.
func methodOf(input, output proto.Message) *schema.Method {
	return &schema.Method{
		Name:   "test.v1.Service.Method",
		Input:  input.ProtoReflect().Descriptor(),
		Output: output.ProtoReflect().Descriptor(),
		Types:  global,
	}
}

func binder(t testing.TB, input proto.Message, b schema.Binding) *transcode.Binder {
	t.Helper()
	if b.Body != "" && b.Body != "*" {
		b.BodyField = input.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(b.Body))
	}
	bd, err := transcode.NewBinder(methodOf(input, input), &b)
	if err != nil {
		t.Fatal(err)
	}
	return bd
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
