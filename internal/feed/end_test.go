package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestSharedStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		first := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1))
		first.read()
		away := first.lastID()
		close(c.steps)
		synctest.Wait()
		first.sees("open a1 end:0")
		back := w.join(away)
		back.sees("open end:0")
		if _, err := w.feed.Subscribe(w.request(w.joining(first.lastID()))); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("the end was presented: %v, want ErrEnded", err)
		}
		fresh := w.join("")
		if len(w.backend.calls) != 1 {
			t.Error("a request without a cursor joined a run that had ended")
		}
		fresh.sees("open")
		closing(first, back, fresh)
	})
}

// TestTheEndIsSaidToSlowReaders: the call ends while a reader is behind what is kept, for the third time. Whatever is done
// about what it has missed, it is told of the end, and not moved behind that.
func TestTheEndIsSaidToSlowReaders(t *testing.T) {
	for start, want := range map[schema.Start]string{
		schema.StartLive:         "open a1 reset:expired a9 reset:expired a19 reset:expired a30 end:0",
		schema.StartEarliest:     "open a1 reset:expired a9 reset:expired a19 reset:expired a30 end:0",
		schema.StartLatestPerKey: "open bookmark a1 reset:expired a10 bookmark reset:expired a20 bookmark reset:expired a30 bookmark end:0",
	} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(start), func(s *schema.Stream) { s.Retention.Events = 2 })
				slow := w.join("")
				c := <-w.backend.calls
				c.send(wire("a", 1))
				slow.step()
				if start == schema.StartLatestPerKey {
					slow.step() // the bookmark was first
				}
				for n := 2; n <= 30; n++ {
					c.send(wire("a", n))
					if n == 10 || n == 20 {
						slow.step() // the reset
						slow.step() // an event, or the snapshot
					}
				}
				close(c.steps)
				synctest.Wait()
				if !slow.read() {
					t.Error("the stream goes on")
				}
				slow.expect(want)
				slow.missesNothingUnsaid()
				closing(slow)
			})
		})
	}
}

// missesNothingUnsaid counts the ids: between two there are as many as a reset says were missed. It is for streams of
// which every event counts.
func (r *reader) missesNothingUnsaid() {
	r.t.Helper()
	before := r.opened()
	for _, e := range r.events[1:] {
		id, ok := event.Parse(e.ID)
		if !ok || id.Snapshot != 0 || before.Snapshot != 0 {
			before = id
			continue
		}
		want := event.Position(1)
		if e.Type == "stream.reset" {
			var data struct{ Missed event.Position }
			if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
				r.t.Fatal(err)
			}
			want = data.Missed
		}
		if got := id.Position - before.Position; got != want {
			r.t.Errorf("%s %s with the id %s is %d behind what came before it, want %d", e.Type, e.Data, e.ID, got, want)
		}
		before = id
	}
}

// atEnd calls a function when a run says that it has ended in an error. It is sealed then, and other runs cannot have been
// started in its place yet.
type atEnd struct {
	slog.Handler
	then func()
}

func (h atEnd) Enabled(context.Context, slog.Level) bool  { return true }
func (h atEnd) Handle(context.Context, slog.Record) error { h.then(); return nil }

// TestNobodyJoinsACallThatHasEnded: readers come in the moment between a call's end and its being forgotten.
func TestNobodyJoinsACallThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		var came []*feed.Subscription
		come := sync.OnceFunc(func() {
			for _, cursor := range []string{"", w.from(4)} {
				s, err := w.feed.Subscribe(w.request(w.joining(cursor)))
				if err != nil {
					t.Error(err)
					continue
				}
				came = append(came, s)
			}
		})
		w = newWorldWith(t, shared(resumable), feed.Options{Logger: slog.New(atEnd{slog.DiscardHandler, come})})
		keeper := w.join("")
		(<-w.backend.calls).send(wire("a", 6), outcome.New(codes.Internal, "broken").Err())
		keeper.sees("open a6 end:13")
		common, own := <-w.backend.calls, <-w.backend.calls
		if len(own.from) == 0 {
			common, own = own, common
		}
		late, back := w.reader(came[0]), w.reader(came[1])
		common.send(wire("a", 7))
		own.send(wire("a", 5), wire("a", 6), wire("a", 7))
		late.sees("open a7")
		back.sees("open a5 a6 a7")
		closing(keeper, late, back)
	})
}

// TestEndWhileCatchingUp: the shared call ends while a reader is still being caught up, and does not meet it in time. The
// reader is told what it would have been told there, the end included.
func TestEndWhileCatchingUp(t *testing.T) {
	for start, want := range map[schema.Start]string{
		schema.StartLive:         "open a4 reset:expired end:0",
		schema.StartEarliest:     "open a4 reset:expired a6 a7 end:0",
		schema.StartLatestPerKey: "open a4 reset:expired a7 bookmark end:0",
	} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, resumable, starting(start))
				keeper := w.join("")
				common := <-w.backend.calls
				common.send(wire("a", 6))
				back := w.join(w.from(3))
				(<-w.backend.calls).send(wire("a", 4))
				common.send(wire("a", 7))
				close(common.steps)
				synctest.Wait()
				back.sees("open a4")
				time.Sleep(31 * time.Second)
				if !back.read() {
					t.Error("the stream goes on")
				}
				back.expect(want)
				closing(keeper, back)
			})
		})
	}
}

// TestCatchingUpWithACallThatBroughtNothing: the shared call ends before its first event, so that there will never be one to
// meet. A reader that is being caught up is told in time, and does not keep a call of its own for ever.
func TestCatchingUpWithACallThatBroughtNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		keeper := w.join("")
		common := <-w.backend.calls
		back := w.join(w.from(3))
		own := <-w.backend.calls
		own.send(wire("a", 4))
		common.send(outcome.New(codes.Internal, "broken").Err())
		keeper.sees("open end:13")
		back.sees("open a4")
		time.Sleep(31 * time.Second)
		back.sees("open a4 reset:expired end:13")
		if stats := w.feed.Stats(); stats.Active != 0 {
			t.Errorf("%d calls run", stats.Active)
		}
		closing(keeper, back)
	})
}
