package transcode

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Bounds on what is read of a request. They keep a hostile one from using up stack and memory.
const (
	maxDepth    = 1000 // messages in each other
	maxAnyDepth = 16   // Any in Any: the bytes inside are copied once for each level
)

const anyName protoreflect.FullName = "google.protobuf.Any"

// expandAny is the message inside an Any, or nil where the Any is empty.
func expandAny(m protoreflect.Message, types *dynamicpb.Types) (protoreflect.Message, error) {
	url, value, ok := anyParts(m)
	if !ok || url == "" && len(value) == 0 {
		return nil, nil
	}
	mt, err := types.FindMessageByURL(url)
	if err != nil {
		return nil, err
	}
	inner := mt.New()
	o := proto.UnmarshalOptions{AllowPartial: true, Resolver: types, RecursionLimit: maxDepth}
	if err := o.Unmarshal(value, inner.Interface()); err != nil {
		return nil, err
	}
	return inner, nil
}

// anyParts takes an Any apart. It reports false for a message that only has its name.
func anyParts(m protoreflect.Message) (url string, value []byte, ok bool) {
	fields := m.Descriptor().Fields()
	u, v := fields.ByNumber(1), fields.ByNumber(2)
	if u == nil || v == nil || u.Kind() != protoreflect.StringKind || v.Kind() != protoreflect.BytesKind ||
		u.IsList() || v.IsList() {
		return "", nil, false
	}
	return m.Get(u).String(), m.Get(v).Bytes(), true
}

// resolver is types, or one that knows no type: protobuf would take a nil for every type linked into this program.
func resolver(types *dynamicpb.Types) *dynamicpb.Types {
	if types == nil {
		return dynamicpb.NewTypes(new(protoregistry.Files))
	}
	return types
}
