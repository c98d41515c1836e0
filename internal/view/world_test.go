package view_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// mark and check stand in the ids of the tests.
const (
	mark  = "0123456789abcdef"
	check = "CHECK"
)

// id is the id of a record.
func id(position int) string { return fmt.Sprintf("%d.%s", position, mark) }

// endID is a terminal id.
func endID(position int) string { return fmt.Sprintf("%d.%s.end", position, check) }

// frame is a typed frame; an empty id is none.
func frame(id, name, data string) string {
	return string(sse.AppendFrame(nil, []byte(id), sse.MustEventName(name), []byte(data)))
}

// price is an event of the application.
func price(position int) string {
	return frame(id(position), "price", fmt.Sprintf(`{"sequence":%d}`, position))
}

func trade(position int) string {
	return frame(id(position), "trade", fmt.Sprintf(`{"trade":%d}`, position))
}

func bookmark(position int) string { return frame(id(position), "stream.bookmark", "{}") }

const goodEnd = `{"code":0,"status":"OK"}`

// stream is fed by a test: batches that Next returns one after another. An empty one is nothing yet.
type stream struct {
	opening string
	batches []string
	ended   bool // io.EOF after the last batch
	fail    error
	waiting string
	outage  int

	unwritten bool
	written   int
}

func (s *stream) Opening(dst []byte, retry time.Duration) []byte {
	opening := sse.AppendOpening(dst, retry, []byte(id(1)), sse.MustEventName("stream.open"), []byte(`{"resumed":false}`))
	return append(opening, s.opening...)
}

func (s *stream) Next(int) ([]byte, error) {
	if s.unwritten {
		return nil, errors.New("Next before Written")
	}
	if len(s.batches) == 0 {
		if s.ended {
			return nil, io.EOF
		}
		return nil, s.fail
	}
	batch := s.batches[0]
	s.batches = s.batches[1:]
	s.unwritten = batch != ""
	return []byte(batch), nil
}

func (s *stream) Written() {
	if !s.unwritten {
		panic("Written, and there was nothing to write")
	}
	s.unwritten = false
	s.written++
}

func (s *stream) Short(frames []byte, n int) []byte   { return frames[n:] }
func (s *stream) Topic() eventlog.Topic               { return nil }
func (s *stream) Waiting() (frame []byte, outage int) { return []byte(s.waiting), s.outage }
func (s *stream) Ageless() bool                       { return false }

func (s *stream) EndID(pos event.Position) event.ID {
	return event.EndAt(pos, event.Check([]byte(check)))
}

// clock is moved by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func newClock() *clock                { return &clock{at: time.Unix(1_800_000_000, 0)} }
func batches(b ...string) *stream     { return &stream{batches: b} }
func ended(b ...string) *stream       { return &stream{batches: b, ended: true} }
func open(v *view.View) string        { return string(v.Opening(nil, 2731*time.Millisecond)) }
func quote(s string) string           { return strings.ReplaceAll(s, "\n", "⏎") }

// next is what Next returns, as if it had been written.
func next(t *testing.T, v *view.View) string {
	t.Helper()
	b, err := v.Next(64 << 10)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	got := string(b)
	if got != "" {
		v.Written()
	}
	return got
}

func expect(t *testing.T, v *view.View, want string) {
	t.Helper()
	if got := next(t, v); got != want {
		t.Fatalf("Next:\n got %s\nwant %s", quote(got), quote(want))
	}
}

func expectEnd(t *testing.T, v *view.View) {
	t.Helper()
	for range 2 {
		if b, err := v.Next(64 << 10); !errors.Is(err, io.EOF) || len(b) != 0 {
			t.Fatalf("Next: %q, %v, want the end", b, err)
		}
	}
}

// expectCut wants an end that is none.
func expectCut(t *testing.T, v *view.View) {
	t.Helper()
	for range 2 {
		if b, err := v.Next(64 << 10); err == nil || errors.Is(err, io.EOF) || len(b) != 0 {
			t.Fatalf("Next: %q, %v, want a cut", b, err)
		}
	}
}

// cutOne is the only frame of b.
func cutOne(t *testing.T, b []byte) sse.Frame {
	t.Helper()
	f, rest, ok := sse.CutFrame(b)
	if !ok || len(rest) != 0 {
		t.Fatalf("%q is not one frame", b)
	}
	return f
}

// messages builds the messages of a file given as the text of a FileDescriptorProto.
func messages(t testing.TB, file string) protoreflect.MessageDescriptors {
	t.Helper()
	fdp := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(file), fdp); err != nil {
		t.Fatal(err)
	}
	fdp.Name, fdp.Package = new("test.proto"), new("test.v1")
	fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages()
}
