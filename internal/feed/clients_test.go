package feed_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
)

var alice, bob = access.Principal{1}, access.Principal{2}

// named is a request of the principal's client "tablet".
func named(p access.Principal) func(*feed.Request) {
	return func(q *feed.Request) { q.Principal, q.ClientID = p, "tablet" }
}

// idOf is the id of the reader's event number i.
func (r *reader) idOf(i int) event.ID {
	r.t.Helper()
	id, ok := event.Parse(r.events[i].ID)
	if !ok {
		r.t.Fatalf("%q is no id", r.events[i].ID)
	}
	return id
}

func TestKeptCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first := w.subscribe(named(alice))
		(<-w.backend.calls).send("one", "two", "three")
		first.sees("open one two three")
		closing(first)
		again := w.subscribe(named(alice))
		again.sees("open one two three")
		closing(again)
		for _, i := range []int{2, 1, 0} { // the others lie before it
			if err := w.feed.Ack(alice, "tablet", first.idOf(i)); err != nil {
				t.Fatalf("Ack of event %d: %v", i, err)
			}
		}
		rest := w.subscribe(named(alice))
		rest.sees("open three")
		closing(rest)
	})
}

// TestForeignAcks shows that an id moves no cursor but one of the stream that it is of, for who may read it.
func TestForeignAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, other := w.subscribe(named(alice)), w.subscribe(named(bob))
		(<-w.backend.calls).send("one", "two")
		(<-w.backend.calls).send("one", "two")
		r.sees("open one two")
		other.sees("open one two")
		beyond := r.idOf(2)
		beyond.Position += 100
		for what, err := range map[string]error{
			"another principal's id":            w.feed.Ack(bob, "tablet", r.idOf(2)),
			"another principal's id, anonymous": w.feed.Ack(access.Principal{}, "tablet", r.idOf(2)),
			"a name that has no cursor":         w.feed.Ack(alice, "phone", r.idOf(2)),
			"a run that is not known":           w.feed.Ack(alice, "tablet", event.At(beyond.Position, event.NewMark())),
			"a position that is not there":      w.feed.Ack(alice, "tablet", beyond),
			"another stream's end":              w.feed.Ack(alice, "tablet", event.EndAt(beyond.Position, event.Check([]byte("AAAAA")))),
		} {
			if !errors.Is(err, feed.ErrUnknownAck) {
				t.Errorf("%s: %v, want ErrUnknownAck", what, err)
			}
		}
		closing(r, other)
		again := w.subscribe(named(bob))
		again.sees("open one two")
		closing(again)
	})
}

func TestAcknowledgedEndIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(named(alice))
		c := <-w.backend.calls
		c.send("one")
		close(c.steps)
		synctest.Wait()
		r.sees("open one end:0")
		closing(r)
		if err := w.feed.Ack(alice, "tablet", r.idOf(2)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour) // the log is long gone
		if _, err := w.feed.Subscribe(w.request(named(alice))); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("Subscribe after the end: %v, want ErrEnded", err)
		}
	})
}
