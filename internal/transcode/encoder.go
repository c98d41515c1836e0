package transcode

import (
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Encoder renders the response messages of one method. It never changes, apart from its counters, and is safe for
// concurrent use.
type Encoder struct {
	// Undecodable is called with the first event that cannot be rendered, and with no other: a backend that sends one
	// sends many. Its cause says what clients are not told. It is set before the Encoder is used; nil is for nobody.
	Undecodable func(*UndecodableError)

	told     sync.Once
	output   protoreflect.MessageType
	types    *dynamicpb.Types
	namer    namer
	cases    protoreflect.OneofDescriptor // not nil: data is the set case's value
	hasAny   bool                         // an Any can be somewhere in a message
	badNames atomic.Int64
}

// NewEncoder makes the Encoder of a method. It relies on what the schema has checked: that the oneof or field of the
// event type belongs to the response message, and that the literal is within the grammar.
func NewEncoder(m *schema.Method) *Encoder {
	e := &Encoder{
		output: dynamicpb.NewMessageType(m.Output),
		types:  resolver(m.Types),
		namer:  newNamer(m.Output, m.Stream.Event),
		hasAny: reachesAny(m.Output),
	}
	if m.Stream.CaseValue {
		e.cases = e.namer.oneof
	}
	return e
}

// BadNames is how many events had a type that is not within the grammar of event types, and were sent under the
// message's full name instead.
func (e *Encoder) BadNames() int64 { return e.badNames.Load() }

// AppendJSON appends the whole message as one line of protobuf JSON, without white space, and with <, >, &, U+2028 and
// U+2029 escaped inside strings. The error, where wire cannot be rendered, is an [*UndecodableError]; dst is then
// returned as it was.
func (e *Encoder) AppendJSON(dst, wire []byte) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	m, err := e.decode(wire)
	if err == nil {
		s.json, err = e.appendMessage(s.json[:0], m)
	}
	if err != nil {
		return dst, e.undecodable(err, m, wire)
	}
	return appendCompact(dst, s.json), nil
}

// AppendFrame appends the frame of one event: its id, its type, and the message (or, where the method says so, the set
// case's value) as one line of JSON. A message that cannot be rendered becomes a stream.undecodable frame under the
// same id, so that the position is used up either way. The frame depends on nothing but id and wire.
func (e *Encoder) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	s := scratches.Get().(*scratch)
	defer s.release()
	s.id = id.Append(s.id[:0])
	m, err := e.decode(wire)
	if err == nil {
		s.json, err = e.appendData(s.json[:0], m)
	}
	if err != nil {
		bad := e.undecodable(err, m, wire)
		if e.Undecodable != nil {
			e.told.Do(func() { e.Undecodable(bad) })
		}
		s.data = appendUndecodable(s.data[:0], bad)
		return sse.AppendFrame(dst, s.id, undecodableName, s.data)
	}
	name, ok := e.namer.name(m)
	if !ok {
		e.badNames.Add(1)
	}
	s.data = appendCompact(s.data[:0], s.json)
	return sse.AppendFrame(dst, s.id, name, s.data)
}

// undecodable is the error of a message that could not be rendered; m is nil where it could not even be read.
func (e *Encoder) undecodable(err error, m protoreflect.Message, wire []byte) *UndecodableError {
	return &UndecodableError{Type: e.output.Descriptor().FullName(), Reason: reason(err, m != nil), Size: len(wire), cause: err}
}

// decode reads wire. Where it fails the message is nil.
func (e *Encoder) decode(wire []byte) (protoreflect.Message, error) {
	m := e.output.New()
	o := proto.UnmarshalOptions{AllowPartial: true, Resolver: e.types, RecursionLimit: maxDepth}
	if err := o.Unmarshal(wire, m.Interface()); err != nil {
		return nil, err
	}
	if e.hasAny {
		if err := checkAnys(m, e.types, 0); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// appendData appends what the data field holds, as protojson writes it.
func (e *Encoder) appendData(dst []byte, m protoreflect.Message) ([]byte, error) {
	if e.cases != nil {
		if fd := m.WhichOneof(e.cases); fd != nil {
			return e.appendValue(dst, fd, m.Get(fd))
		}
	}
	return e.appendMessage(dst, m)
}

func (e *Encoder) appendMessage(dst []byte, m protoreflect.Message) ([]byte, error) {
	return protojson.MarshalOptions{AllowPartial: true, Resolver: e.types}.MarshalAppend(dst, m.Interface())
}

// appendValue appends a singular field's value alone. Scalars go through the wrapper types, whose JSON form is the bare
// value.
func (e *Encoder) appendValue(dst []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return e.appendMessage(dst, v.Message())
	case protoreflect.EnumKind:
		return appendEnum(dst, fd.Enum(), v.Enum()), nil
	default:
		return protojson.MarshalOptions{}.MarshalAppend(dst, wrap(fd.Kind(), v))
	}
}

// scratch holds the buffers that one rendering needs.
type scratch struct{ id, json, data []byte }

// maxScratchBytes is how large a buffer may be to be kept: one huge message must not hold its size for ever.
const maxScratchBytes = 1 << 18

var scratches = sync.Pool{New: func() any { return &scratch{id: make([]byte, 0, event.MaxLen)} }}

// release gives s back. Nothing that was handed out may point into it.
func (s *scratch) release() {
	if cap(s.json) > maxScratchBytes || cap(s.data) > maxScratchBytes {
		s.json, s.data = nil, nil
	}
	scratches.Put(s)
}
