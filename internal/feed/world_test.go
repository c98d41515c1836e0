package feed_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a caller whose calls do what a test tells them: each receives steps on its own channel.
type backend struct {
	calls     chan *call // every call as it is made
	cancelled atomic.Int64
}

type call struct {
	upstream.Call
	steps chan any // string: a message; error: the end; *outcome.Outcome: restarted; upstream.Waiting; expired; close: OK
	// from is the request that the call was opened with.
	from []byte
}

// expired is the step of a backend that no longer has the cursor it was given.
type expired struct{}

// takes asks, as an upstream does, whether a message is to be yielded.
func (c *call) takes(message string) bool {
	return c.Resume == nil || c.Resume.See([]byte(message)) == cursor.Keep
}

func newBackend() *backend { return &backend{calls: make(chan *call, 100)} }

func (b *backend) Stream(ctx context.Context, c upstream.Call) iter.Seq2[upstream.Message, error] {
	made := &call{Call: c, steps: make(chan any, 1000), from: c.Request}
	if c.Resume != nil {
		if request, ok := c.Resume.Request(); ok {
			made.from = request
			c.Resume.Reopened()
		}
	}
	b.calls <- made
	return func(yield func(upstream.Message, error) bool) {
		for {
			select {
			case <-ctx.Done():
				b.cancelled.Add(1)
				yield(upstream.Message{}, ctx.Err())
				return
			case step, open := <-made.steps:
				switch s := step.(type) {
				case nil:
					if !open {
						return
					}
				case expired:
					if !yield(upstream.Message{Expired: true}, nil) {
						return
					}
				case string:
					if made.takes(s) && !yield(upstream.Message{Data: []byte(s)}, nil) {
						return
					}
				case *outcome.Outcome:
					if !yield(upstream.Message{Restarted: s}, nil) {
						return
					}
				case upstream.Waiting:
					c.Watch.Waiting(s)
				case error:
					yield(upstream.Message{}, s)
					return
				}
			}
		}
	}
}

type textEncoder struct{}

func (textEncoder) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	return sse.AppendFrame(dst, id.Append(nil), sse.MustEventName("text"), wire)
}

// world is a feed with one method and one backend.
type world struct {
	t       *testing.T
	feed    *feed.Feed
	backend *backend
	method  *schema.Method
	budget  *eventlog.Budget
}

func newWorld(t *testing.T, change func(*schema.Stream)) *world {
	t.Helper()
	return newWorldWith(t, change, feed.Options{})
}

// newWorldWith is for tests that set options of the feed; its budget is made here.
func newWorldWith(t *testing.T, change func(*schema.Stream), o feed.Options) *world {
	w := &world{t: t, backend: newBackend(), budget: eventlog.NewBudget(64 << 20)}
	w.method = &schema.Method{
		Name: "test.Service.Watch", Path: "/test.Service/Watch",
		Stream: schema.Stream{
			Retention: schema.Retention{Age: 10 * time.Minute, Events: 1000, Bytes: 1 << 20},
			Linger:    30 * time.Second,
		},
	}
	if change != nil {
		change(&w.method.Stream)
	}
	if o.Budget == nil {
		o.Budget = w.budget
	}
	w.budget = o.Budget
	w.feed = feed.New(o)
	t.Cleanup(w.feed.Close)
	return w
}

func (w *world) request(change func(*feed.Request)) feed.Request {
	r := feed.Request{
		Method: w.method, Caller: w.backend, Encoder: func() feed.Encoder { return textEncoder{} },
		Wire: []byte("wire"), Canonical: []byte("canonical"), Restart: w.method.Restarts(http.MethodGet),
	}
	if change != nil {
		change(&r)
	}
	return r
}

func (w *world) subscribe(change func(*feed.Request)) *reader {
	w.t.Helper()
	s, err := w.feed.Subscribe(w.request(change))
	if err != nil {
		w.t.Fatalf("Subscribe: %v", err)
	}
	return w.reader(s)
}

// reader takes what a subscription says apart, as a client would.
type reader struct {
	*feed.Subscription
	t      *testing.T
	events []sse.Event
}

func (w *world) reader(s *feed.Subscription) *reader {
	r := &reader{Subscription: s, t: w.t}
	r.parse(s.Opening(nil, 3*time.Second))
	return r
}

func (r *reader) parse(frames []byte) {
	p := sse.NewParser(bytes.NewReader(frames), 1<<20)
	for {
		e, err := p.Next()
		if err != nil {
			return
		}
		r.events = append(r.events, e)
	}
}

// read takes what there is, and reports whether the stream has ended.
func (r *reader) read() (ended bool) {
	for {
		frames, err := r.Next(1 << 16)
		if errors.Is(err, io.EOF) {
			return true
		}
		if len(frames) == 0 {
			return false
		}
		r.parse(frames)
		r.Written()
	}
}

// text is the events so far, as "type:data" without what differs from run to run.
func (r *reader) text() string {
	var parts []string
	for _, e := range r.events {
		name := strings.TrimPrefix(e.Type, "stream.")
		if e.Type == "text" {
			parts = append(parts, e.Data)
			continue
		}
		if i := strings.Index(e.Data, `"reason":"`); i >= 0 {
			reason, _, _ := strings.Cut(e.Data[i+10:], `"`)
			name += ":" + reason
		}
		if e.Type == "stream.end" {
			code, _, _ := strings.Cut(strings.TrimPrefix(e.Data, `{"code":`), ",")
			name += ":" + strings.TrimSuffix(code, "}")
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " ")
}

func (r *reader) expect(want string) {
	r.t.Helper()
	if got := r.text(); got != want {
		r.t.Errorf("client saw %q, want %q", got, want)
	}
}

func (r *reader) lastID() string { return r.events[len(r.events)-1].ID }

func with(cursor string) func(*feed.Request) { return func(r *feed.Request) { r.Cursor = cursor } }

// opened is the id of the reader's stream.open.
func (r *reader) opened() event.ID {
	id, _ := event.Parse(r.events[0].ID)
	return id
}
