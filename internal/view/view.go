// Package view makes what one reader sees of a stream out of the stream's finished frames, which are the same for every
// reader: the form it asked for (typed frames, plain frames, lines of JSON), only the types and fields it asked for, and
// bookmarks, so that its cursor does not age while events are hidden from it.
//
//	stream (typed SSE frames) ──▶ filter ──▶ mask ──▶ field ──▶ form ──▶ delivery
//
// A view decodes nothing: it cuts frames and JSON apart and puts parts of them together again.
package view

import (
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Stream is what a view is laid over: one reader's place in a stream of typed SSE frames. It is for one goroutine.
type Stream interface {
	// Opening appends the first frames of the response: stream.open, and what must follow it in the same write.
	Opening(dst []byte, retry time.Duration) []byte
	// Next returns the next finished frames back to back, nothing where there is nothing yet, io.EOF at the end.
	Next(limit int) ([]byte, error)
	// Written says that what Next returned last has been written, or shall not be.
	Written()
	// Short says that only the first n bytes of what Next returned last were, and returns what must be before Written.
	Short(frames []byte, n int) (rest []byte)
	// Topic is what to watch for a change of what Next or Waiting answers; nil where they stay as they are.
	Topic() eventlog.Topic
	// Waiting returns the frame that says that the backend cannot be reached, and the number of the outage; 0 for none.
	Waiting() (frame []byte, outage int)
	// Ageless reports that the connection must not be ended because of its age.
	Ageless() bool
	// EndID is the stream's terminal id at a position.
	EndID(pos event.Position) event.ID
}

// Options say what a reader asked for. The zero value is everything in typed SSE frames, untouched.
type Options struct {
	// Representation is the form of the response. Default SSE.
	Representation Representation
	// Events are the types of the events that are shown (sse.events); the bridge's own always are. Empty shows all.
	Events []string
	// Fields is the mask on the events' data (sse.fields); nil shows all fields.
	Fields *Fields
	// Poll ends the response after the first batch with something to show (sse.wait).
	Poll bool
	// Done is the data of the last plain frame after a good end; empty for no such frame.
	Done string
	// Retention of the stream sets how often a bookmark is sent. Bounds that are 0 are none.
	Retention schema.Retention
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// ResponseField is the field that the route's response_body names: an event's data is its value alone. nil is the
	// whole response. It means nothing where the method's data is CASE_VALUE: leave it nil there.
	ResponseField protoreflect.FieldDescriptor
}

// errCut ends a response in the middle: there is no way to say in it that something is missing.
var errCut = errors.New("view: the stream ended early, and this representation cannot say so")

var errFrames = errors.New("view: the stream's bytes are not finished frames")

// View is a stream as one reader sees it. It is for one goroutine.
//
//   - end, once set, is what Next returns from then on: nothing more is to be said.
//   - unwritten: what Next returned last holds frames of the stream, which Written must pass on.
type View struct {
	stream Stream
	form   form
	filter filter
	fields *Fields
	field  *responseField
	poll   bool
	now    func() time.Time

	ended     bool // stream.end has been seen
	seen      bool // a record has been shown
	unwritten bool
	end       error

	pace  pace
	at    time.Time // when the batch under way began
	frame sse.Frame
	buf   []byte // what Next returns
	wait  []byte // what Waiting returns
	data  [2][]byte
}

// New lays a view over s.
func New(s Stream, o Options) *View {
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &View{
		stream: s, filter: newFilter(o.Events), fields: o.Fields, field: newResponseField(o.ResponseField),
		poll: o.Poll, now: o.Now, pace: newPace(o.Retention),
	}
	v.form = newForm(o, s.EndID)
	return v
}

// ContentType is the Content-Type of the response: the representation's, or what the first event of a Raw one says.
// It is empty for SSE, and for Raw until there is an event.
func (v *View) ContentType() string { return v.form.contentType() }

// Opening appends the first bytes of the response.
func (v *View) Opening(dst []byte, retry time.Duration) []byte {
	v.at = v.now()
	v.pace.move(v.at)
	poll := v.poll
	v.poll = false // what follows from the cursor does not end a poll, or one that never gets a better one would bring no event
	dst = append(dst, v.batch(v.stream.Opening(nil, retry))...)
	v.poll, v.seen = poll, false
	return dst
}

// Next returns the next bytes to write, nothing where there is nothing yet, io.EOF at the end, and any other error where
// the response must be cut. They are valid until the next call of a method.
func (v *View) Next(limit int) ([]byte, error) {
	for v.end == nil {
		frames, err := v.stream.Next(limit)
		switch {
		case errors.Is(err, io.EOF):
			return v.close()
		case err != nil:
			return nil, err
		case len(frames) == 0:
			v.shrink(maxKeptQuiet)
			return v.due(v.buf[:0], v.now()), nil
		}
		if out := v.batch(frames); len(out) != 0 {
			v.unwritten = true
			return out, nil
		}
		v.stream.Written() // all of it was hidden
	}
	return nil, v.end
}

// close says what is left to say once the stream is over.
func (v *View) close() ([]byte, error) {
	v.buf = v.bookmark(v.buf[:0])
	v.end = io.EOF
	if !v.ended {
		v.buf, v.end = v.form.leave(v.buf, "")
	}
	if len(v.buf) != 0 {
		return v.buf, nil
	}
	return nil, v.end
}

// batch makes the reader's bytes of frames, in v.buf.
func (v *View) batch(frames []byte) []byte {
	v.at, v.buf = v.now(), v.buf[:0]
	for len(frames) != 0 && v.end == nil {
		var ok bool
		if v.frame, frames, ok = sse.CutFrame(frames); !ok {
			v.end = errFrames
			break
		}
		v.add(&v.frame)
	}
	v.frame = sse.Frame{} // else it would hold the log's memory after the log has let go of it
	if v.poll && v.seen && v.end == nil {
		v.buf = v.bookmark(v.buf)
		if !v.ended {
			v.buf, v.end = v.form.leave(v.buf, "")
		} else {
			v.end = io.EOF
		}
	}
	v.buf = v.due(v.buf, v.at)
	return v.buf
}

// add appends what becomes of one frame to v.buf.
func (v *View) add(f *sse.Frame) {
	k := kindOf(f)
	switch {
	case k != kindEvent:
		if k == kindBusy {
			v.buf = v.bookmark(v.buf)
		}
		v.ended = v.ended || k == kindEnd
		v.buf, v.end = v.form.own(v.buf, f, k)
	case v.filter.hides(f.Event):
		v.pace.hide(f)
		return
	default:
		v.buf, v.end = v.form.event(v.buf, f, v.shape(f))
	}
	v.seen = v.seen || k.record()
	if len(f.ID) != 0 {
		v.pace.move(v.at)
	}
}

// shape is the data that f has under the mask and the route's field, or nil where it stays as it is.
func (v *View) shape(f *sse.Frame) []byte {
	if v.fields == nil && v.field == nil {
		return nil
	}
	data := f.Data()
	if v.fields != nil {
		v.data[0] = v.fields.append(v.data[0][:0], f.Event, data)
		data = v.data[0]
	}
	if v.field != nil {
		v.data[1] = append(v.data[1][:0], v.field.of(data)...)
		data = v.data[1]
	}
	return data
}

// due appends a bookmark if it is time for one.
func (v *View) due(dst []byte, now time.Time) []byte {
	if !v.pace.due(now) {
		return dst
	}
	return v.bookmark(dst)
}

// bookmark appends a bookmark if anything was hidden since the reader's cursor last moved.
func (v *View) bookmark(dst []byte) []byte {
	if v.pace.events == 0 || v.end != nil {
		return dst
	}
	dst = v.form.bookmark(dst, v.pace.id)
	v.pace.move(v.now())
	return dst
}

// How large buffers may be to be kept: while there is much to say, and while there is nothing. One huge event, or one
// long catch-up, must not hold its size for the life of a connection.
const (
	maxKept      = 256 << 10
	maxKeptQuiet = 8 << 10
)

// shrink gives buffers up that are larger than that.
func (v *View) shrink(most int) {
	for _, b := range []*[]byte{&v.buf, &v.data[0], &v.data[1]} {
		if cap(*b) > most {
			*b = nil
		}
	}
}

// Written says that what Next returned last has been written.
func (v *View) Written() {
	if v.unwritten {
		v.unwritten = false
		v.stream.Written()
	}
	v.shrink(maxKept)
}

// Short says that only the first n bytes of what Next returned last were written, and returns the rest: all of it must be
// before Written is called.
func (v *View) Short(frames []byte, n int) (rest []byte) { return frames[n:] }
