package transcode_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// global resolves every type linked into the test.
var global = dynamicpb.NewTypes(protoregistry.GlobalFiles)

// methodOf is a method with the given messages.
func methodOf(input, output protoreflect.MessageDescriptor) *schema.Method {
	return &schema.Method{Name: "test.v1.Service.Method", Input: input, Output: output, Types: global}
}

func descriptor(m proto.Message) protoreflect.MessageDescriptor { return m.ProtoReflect().Descriptor() }

// binder makes a Binder for requests of md.
func binder(t testing.TB, md protoreflect.MessageDescriptor, b schema.Binding) *transcode.Binder {
	t.Helper()
	if b.Body != "" && b.Body != "*" {
		b.BodyField = md.Fields().ByName(protoreflect.Name(b.Body))
	}
	bd, err := transcode.NewBinder(methodOf(md, md), &b)
	if err != nil {
		t.Fatal(err)
	}
	return bd
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// message builds the message M of a schema given as the text of a FileDescriptorProto without its name. Its package is
// test.v1 unless it says otherwise.
func message(t testing.TB, file string) protoreflect.MessageDescriptor {
	t.Helper()
	fdp := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(file), fdp); err != nil {
		t.Fatal(err)
	}
	fdp.Name = new("test.proto")
	if fdp.Package == nil {
		fdp.Package = new("test.v1")
	}
	fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName("M")
}

// fromText reads a message of type md from its text form.
func fromText(t testing.TB, md protoreflect.MessageDescriptor, text string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := (prototext.UnmarshalOptions{AllowPartial: true, Resolver: global}).Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}
