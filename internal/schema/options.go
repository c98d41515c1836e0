package schema

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// methodOptions is what a method's own options say.
type methodOptions struct {
	http        *annotations.HttpRule // nil if not set
	stream      *grpcssev1.Stream     // nil if not set
	idempotency descriptorpb.MethodOptions_IdempotencyLevel
	warnings    []string
}

var optionTypes = newOptionTypes()

func newOptionTypes() *protoregistry.Types {
	types := new(protoregistry.Types)
	for _, option := range []protoreflect.ExtensionType{annotations.E_Http, grpcssev1.E_Stream} {
		// Two extensions of different numbers and names cannot conflict in an empty registry.
		_ = types.RegisterExtension(option)
	}
	return types
}

// readOptions reads the two options with the messages linked into this binary, whatever copy of them the backend was
// built with.
func readOptions(md protoreflect.MethodDescriptor, types *dynamicpb.Types) (methodOptions, error) {
	var o methodOptions
	raw, err := proto.Marshal(md.Options())
	if err != nil {
		return o, fmt.Errorf("its options cannot be read: %w", err)
	}
	options := &descriptorpb.MethodOptions{}
	if err := (proto.UnmarshalOptions{Resolver: optionTypes}).Unmarshal(raw, options); err != nil {
		return o, errors.New("its options (google.api.http, grpcsse.v1.stream) cannot be read: build the descriptors anew")
	}
	o.idempotency = options.GetIdempotencyLevel()
	if o.has(options, annotations.E_Http, types) {
		o.http, _ = proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	}
	if o.has(options, grpcssev1.E_Stream, types) {
		o.stream, _ = proto.GetExtension(options, grpcssev1.E_Stream).(*grpcssev1.Stream)
		if err := checkKnown(o.stream.ProtoReflect()); err != nil {
			return o, fmt.Errorf("option (grpcsse.v1.stream): %w", err)
		}
	}
	return o, nil
}

// has says whether an option is set and is ours: extension numbers are a convention, and a backend's schema may give
// ours to an option of its own.
func (o *methodOptions) has(options *descriptorpb.MethodOptions, option protoreflect.ExtensionType, types *dynamicpb.Types) bool {
	if !proto.HasExtension(options, option) {
		return false
	}
	ours := option.TypeDescriptor()
	theirs, err := types.FindExtensionByNumber("google.protobuf.MethodOptions", ours.Number())
	if err == nil && theirs.TypeDescriptor().FullName() != ours.FullName() {
		o.warnings = append(o.warnings, fmt.Sprintf("option (%s) is ignored: its number %d is that of (%s)",
			theirs.TypeDescriptor().FullName(), ours.Number(), ours.FullName()))
		return false
	}
	return true
}

// checkKnown refuses fields and enum values that this binary does not know, at any depth: a newer option that was
// ignored in silence could mean anything.
func checkKnown(m protoreflect.Message) error {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)
		return fmt.Errorf("%s has no field with number %d in this version of grpc-sse: upgrade grpc-sse, or take the field out", m.Descriptor().FullName(), number)
	}
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() || fd.IsMap():
		case fd.Message() != nil:
			err = checkKnown(v.Message())
		case fd.Enum() != nil && fd.Enum().Values().ByNumber(v.Enum()) == nil:
			err = fmt.Errorf("%s has no value %d in this version of grpc-sse: upgrade grpc-sse, or change the value", fd.Enum().FullName(), v.Enum())
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", fd.Name(), err)
		}
		return err == nil
	})
	return err
}
