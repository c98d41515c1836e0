package transcode

import (
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// Encoder renders the response messages of one method. It never changes, apart from its counters and what it has
// learned of the schema, and is safe for concurrent use.
type Encoder struct {
	// Undecodable is called with the first event that cannot be rendered, and with no other: a backend that sends one
	// sends many. Its cause says what clients are not told. It is set before the Encoder is used; nil is for nobody.
	Undecodable func(*UndecodableError)

	told     sync.Once
	output   protoreflect.FullName
	program  *render.Program
	namer    namer
	cases    bool // data is the value of the namer's oneof's set case
	badNames atomic.Int64
}

// NewEncoder makes the Encoder of a method. It relies on what the schema has checked: that the oneof or field of the
// event type belongs to the response message, and that the literal is within the grammar.
func NewEncoder(m *schema.Method) *Encoder {
	return &Encoder{
		output:  m.Output.FullName(),
		program: render.NewTypes(resolver(m.Types)).Program(m.Output),
		namer:   newNamer(m.Output, m.Stream.Event),
		cases:   m.Stream.CaseValue && m.Stream.Event.Oneof != nil,
	}
}

// BadNames is how many events had a type that is not within the grammar of event types, and were sent under the
// message's full name instead.
func (e *Encoder) BadNames() int64 { return e.badNames.Load() }

// AppendJSON appends the whole message as one line of protobuf JSON, without white space, and with <, >, &, U+2028 and
// U+2029 escaped inside strings. The error, where wire cannot be rendered, is an [*UndecodableError]; dst is then
// returned as it was.
func (e *Encoder) AppendJSON(dst, wire []byte) ([]byte, error) {
	m, err := e.program.Open(wire)
	if err != nil {
		return dst, e.undecodable(err, wire)
	}
	defer m.Close()
	out, err := m.AppendJSON(dst)
	if err != nil {
		return dst, e.undecodable(err, wire)
	}
	return out, nil
}

// AppendFrame appends the frame of one event: its id, its type, and the message (or, where the method says so, the set
// case's value) as one line of JSON. A message that cannot be rendered becomes a stream.undecodable frame under the
// same id, so that the position is used up either way. The frame depends on nothing but id and wire.
func (e *Encoder) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	if cap(dst)-len(dst) >= roomFactor*len(wire)+roomForFields {
		return e.appendFrame(dst, id, wire)
	}
	// Frames are appended to a piece of memory until it is full. There dst would grow a little with every field, to be
	// thrown away each time.
	s := scratches.Get().(*scratch)
	defer s.release()
	s.frame = e.appendFrame(s.frame[:0], id, wire)
	return append(dst, s.frame...)
}

// How much room a frame takes, most often: that of its message this many times, and this much for its other fields.
const roomFactor, roomForFields = 2, 512

// appendFrame writes the frame in place.
func (e *Encoder) appendFrame(dst []byte, id event.ID, wire []byte) []byte {
	m, err := e.program.Open(wire)
	if err != nil {
		return e.appendUndecodable(dst, id, err, wire)
	}
	name, ok := e.namer.name(m)
	out := sse.Data(id.Append(sse.Begin(dst)), name)
	if e.cases {
		out, err = m.AppendCase(out, e.namer.oneof)
	} else {
		out, err = m.AppendJSON(out)
	}
	m.Close()
	if err != nil {
		return e.appendUndecodable(dst, id, err, wire)
	}
	if !ok {
		e.badNames.Add(1)
	}
	return sse.End(out)
}

// appendUndecodable writes the frame that stands in for a message that cannot be rendered.
func (e *Encoder) appendUndecodable(dst []byte, id event.ID, err error, wire []byte) []byte {
	bad := e.undecodable(err, wire)
	if e.Undecodable != nil {
		e.told.Do(func() { e.Undecodable(bad) })
	}
	dst = sse.Data(id.Append(sse.Begin(dst)), undecodableName)
	return sse.End(appendUndecodable(dst, bad))
}

func (e *Encoder) undecodable(err error, wire []byte) *UndecodableError {
	bad := &UndecodableError{Type: e.output, Reason: ReasonMalformed, Size: len(wire), cause: err}
	if cause, ok := errors.AsType[*render.Error](err); ok {
		bad.Reason = string(cause.Reason)
	}
	return bad
}

// scratch holds a frame that is written before its place is known.
type scratch struct{ frame []byte }

// maxScratchBytes is how large a buffer may be to be kept: one huge message must not hold its size for ever.
const maxScratchBytes = 1 << 18

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release gives s back. Nothing that was handed out may point into it.
func (s *scratch) release() {
	if cap(s.frame) > maxScratchBytes {
		s.frame = nil
	}
	scratches.Put(s)
}
