package delivery_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// calls is shared calls of a real feed, whose backend says what a test has it say.
type calls struct {
	t      testing.TB
	feed   *feed.Feed
	budget *eventlog.Budget
	method *schema.Method
}

func newCalls(t testing.TB, retention schema.Retention) *calls {
	t.Helper()
	c := &calls{t: t, budget: eventlog.NewBudget(1 << 30)}
	c.feed = feed.New(feed.Options{Budget: c.budget})
	c.method = &schema.Method{
		Name: "test.Service.Watch", Path: "/test.Service/Watch",
		Stream: schema.Stream{Retention: retention, Linger: time.Hour, Share: schema.SharePublic, MaxKeys: 1},
	}
	t.Cleanup(c.feed.Close)
	return c
}

var plenty = schema.Retention{Age: time.Hour, Events: 1 << 20, Bytes: 64 << 20}

// call is one shared call: messages go in on one side.
type call struct {
	*calls
	key      access.StreamKey
	messages chan string // closed: the call has ended well
	fields   *feed.Fields
}

func (c *calls) call(n byte) *call {
	return &call{calls: c, key: access.StreamKey{n, 1}, messages: make(chan string), fields: feed.NewFields(c.method)}
}

// Stream is the backend.
func (c *call) Stream(ctx context.Context, _ upstream.Call) iter.Seq2[upstream.Message, error] {
	return func(yield func(upstream.Message, error) bool) {
		for {
			select {
			case <-ctx.Done():
				yield(upstream.Message{}, ctx.Err())
				return
			case m, open := <-c.messages:
				if !open || !yield(upstream.Message{Data: []byte(m)}, nil) {
					return
				}
			}
		}
	}
}

// AppendFrame makes a frame of a message.
func (*call) AppendFrame(dst []byte, id event.ID, message []byte) []byte {
	return sse.AppendFrame(dst, id.Append(nil), sse.EventName{}, message)
}

// subscribe begins at the end of the call. The subscription must be closed.
func (c *call) subscribe() *feed.Subscription {
	s, err := c.feed.Subscribe(feed.Request{
		Method: c.method, Caller: c, Encoder: func() feed.Encoder { return c }, Restart: true, Fields: c.fields, StreamKey: c.key,
		Wire: []byte("x"), Canonical: []byte("x"),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// reading is what a subscription is read through.
type reading struct {
	delivery.Source
	of *feed.Subscription
}

// Close ends the subscription.
func (r reading) Close() { r.of.Close() }

// direct is a reader as most are: what it is written is the log's bytes.
func direct(s *feed.Subscription) delivery.Source { return reading{view.Direct{Stream: s}, s} }

// plain is a reader of another form.
func plain(s *feed.Subscription) delivery.Source {
	return reading{view.New(s, view.Options{Representation: view.Plain, Done: "[DONE]"}), s}
}

// unframed is a reader whose bytes are its own: all of them are written, or nothing.
type unframed struct{ reading }

func (unframed) Short(frames []byte, n int) []byte { return frames[n:] }

// message is a text of about size bytes that says which it is.
func message(n, size int) string { return fmt.Sprintf("%d %0*d", n, size, n) }
