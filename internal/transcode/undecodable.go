package transcode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Bounds on what is read. They keep a hostile message from using up stack and memory; the other implementations of
// protobuf stop at 100 levels.
const (
	maxDepth    = 1000 // messages in each other
	maxAnyDepth = 16   // Any in Any: the bytes inside are copied once for each level
)

// Why a message cannot be rendered. The texts are part of the contract: they name no internals and do not change.
const (
	ReasonMalformed  = "malformed message"        // not the wire format of its type
	ReasonUTF8       = "invalid UTF-8"            // a string holds other bytes
	ReasonUnknownAny = "unknown type in Any"      // an Any of a type that the schema does not have
	ReasonTooDeep    = "nested too deeply"        // more than 1,000 messages, or 16 Any, in each other
	ReasonNoJSON     = "a value has no JSON form" // a Timestamp out of range, for example
)

// UndecodableError is a message of a backend that cannot be rendered.
type UndecodableError struct {
	Type   protoreflect.FullName // the response message's
	Reason string                // one of the Reason constants
	Size   int                   // of the message on the wire, in bytes
	cause  error
}

// Error says what could not be rendered and why, without internals: it may be shown to clients.
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("the backend's %s (%d bytes) cannot be rendered as JSON: %s", e.Type, e.Size, e.Reason)
}

// Unwrap is the original error, for logs.
func (e *UndecodableError) Unwrap() error { return e.cause }

// undecodableName is the event type of what stands in for a message that cannot be rendered.
var undecodableName = sse.MustEventName("stream.undecodable")

func appendUndecodable(dst []byte, e *UndecodableError) []byte {
	dst = append(dst, `{"type":`...)
	dst = appendQuoted(dst, string(e.Type))
	dst = append(dst, `,"reason":`...)
	dst = appendQuoted(dst, e.Reason)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, int64(e.Size), 10)
	return append(dst, '}')
}

var (
	errUnknownAny = errors.New(ReasonUnknownAny)
	errTooDeep    = errors.New(ReasonTooDeep)
)

// reason says why a message could not be rendered. decoded: it could at least be read.
func reason(err error, decoded bool) string {
	// Protobuf has one error type for everything, so that its texts are all there is; the tests pin them.
	text := err.Error()
	switch {
	case errors.Is(err, errUnknownAny):
		return ReasonUnknownAny
	case errors.Is(err, errTooDeep), strings.Contains(text, "recursion depth"):
		return ReasonTooDeep
	case strings.Contains(text, "invalid UTF-8"):
		return ReasonUTF8
	case !decoded:
		return ReasonMalformed
	default:
		return ReasonNoJSON
	}
}

const anyName protoreflect.FullName = "google.protobuf.Any"

// checkAnys looks into every Any in m before it is rendered: protojson puts no limit on how deep they go. depth is the
// number of Any around m. Of several errors it returns the same one whatever order the fields come in.
func checkAnys(m protoreflect.Message, types *dynamicpb.Types, depth int) error {
	if m.Descriptor().FullName() == anyName {
		inner, err := expandAny(m, types)
		if err != nil || inner == nil {
			return err
		}
		if depth++; depth > maxAnyDepth {
			return errTooDeep
		}
		return checkAnys(inner, types, depth)
	}
	var first error
	check := func(sub protoreflect.Message) { first = firstReason(first, checkAnys(sub, types, depth)) }
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				check(v.Message())
				return true
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				check(v.List().Get(i).Message())
			}
		default:
			check(v.Message())
		}
		return true
	})
	return first
}

// firstReason is the error whose reason sorts first.
func firstReason(a, b error) error {
	if a == nil || b != nil && reason(b, false) < reason(a, false) {
		return b
	}
	return a
}

// expandAny is the message inside an Any, or nil where the Any is empty.
func expandAny(m protoreflect.Message, types *dynamicpb.Types) (protoreflect.Message, error) {
	url, value, ok := anyParts(m)
	if !ok || url == "" && len(value) == 0 {
		return nil, nil
	}
	mt, err := types.FindMessageByURL(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q: %w", errUnknownAny, url, err)
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

// reachesAny reports whether an Any can be anywhere in a message. Extensions are not followed: who has them, may.
func reachesAny(root protoreflect.MessageDescriptor) bool {
	seen := make(map[protoreflect.FullName]bool)
	var reaches func(md protoreflect.MessageDescriptor) bool
	reaches = func(md protoreflect.MessageDescriptor) bool {
		if md.FullName() == anyName || md.ExtensionRanges().Len() > 0 {
			return true
		}
		if seen[md.FullName()] {
			return false
		}
		seen[md.FullName()] = true
		for i := range md.Fields().Len() {
			if sub := md.Fields().Get(i).Message(); sub != nil && reaches(sub) {
				return true
			}
		}
		return false
	}
	return reaches(root)
}

// resolver is types, or one that knows no type: protojson would take a nil for every type linked into this program.
func resolver(types *dynamicpb.Types) *dynamicpb.Types {
	if types == nil {
		return dynamicpb.NewTypes(new(protoregistry.Files))
	}
	return types
}
