package feed_test

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// named subscribes as a client whose cursor is kept.
func (w *world) named(client string, principal access.Principal) *reader {
	w.t.Helper()
	defer synctest.Wait()
	return w.subscribe(func(r *feed.Request) {
		w.joining("")(r)
		r.ClientID, r.Principal = client, principal
	})
}

func ack(t *testing.T, w *world, principal access.Principal, client, id string) error {
	t.Helper()
	parsed, ok := event.Parse(id)
	if !ok {
		t.Fatalf("%q is no id", id)
	}
	return w.feed.Ack(principal, client, parsed)
}

func TestKeptCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		var nobody access.Principal
		first := w.named("me", nobody)
		c := <-w.backend.calls
		c.send(wire("a", 1), wire("a", 2), wire("a", 3))
		first.sees("open a1 a2 a3")

		again := w.named("me", nobody) // nothing was acknowledged: all of it again
		again.sees("open a1 a2 a3")
		for _, step := range []struct{ data, want string }{
			{"a2", "open a3"},
			{"a1", "open a3"}, // never back
			{"a3", "open"},
		} {
			if err := ack(t, w, nobody, "me", cursorAfter(t, first, step.data)); err != nil {
				t.Fatalf("ack of %s: %v", step.data, err)
			}
			r := w.named("me", nobody)
			r.sees(step.want)
			closing(r)
		}
		other := w.named("somebody else", nobody)
		other.sees("open")

		for client, want := range map[string]bool{"me": true, "stranger": false} {
			known := w.feed.Knows(w.request(func(r *feed.Request) { w.joining("")(r); r.ClientID = client }))
			if known != want {
				t.Errorf("the cursor of %s is known: %v", client, known)
			}
		}
		id := cursorAfter(t, first, "a3")
		for name, err := range map[string]error{
			"of a client that reads nothing": ack(t, w, nobody, "stranger", id),
			"of another principal's client":  ack(t, w, access.Principal{1}, "me", id),
			"of no stream":                   ack(t, w, nobody, "me", event.At(1, event.NewMark()).String()),
		} {
			if !errors.Is(err, feed.ErrUnknownAck) {
				t.Errorf("ack %s: %v", name, err)
			}
		}
		close(c.steps)
		synctest.Wait()
		first.read()
		if err := ack(t, w, nobody, "me", first.lastID()); err != nil {
			t.Fatalf("ack of the end: %v", err)
		}
		closing(first, again, other)
		time.Sleep(23 * time.Hour) // the stream itself is long forgotten
		if _, err := w.feed.Subscribe(w.request(func(r *feed.Request) { w.joining("")(r); r.ClientID = "me" })); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("after the end was acknowledged: %v", err)
		}
	})
}

// TestKeptCursorsOfPrincipals shows that one name stands for a client of each principal.
func TestKeptCursorsOfPrincipals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		one, two := w.named("tab", access.Principal{1}), w.named("tab", access.Principal{2})
		c := <-w.backend.calls
		c.send(wire("a", 1), wire("a", 2))
		one.read()
		if err := ack(t, w, access.Principal{1}, "tab", one.lastID()); err != nil {
			t.Fatal(err)
		}
		again := w.named("tab", access.Principal{2})
		again.sees("open a1 a2")
		closing(one, two, again)
	})
}

// TestDrainSpreadsReaders sends readers of shared calls away one after the other, and those of calls of their own not
// before the window ends.
func TestDrainSpreadsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		readers := make([]*reader, 100)
		for i := range readers {
			readers[i] = w.join("")
		}
		began := time.Now()
		drained := make(chan struct{})
		go func() { w.feed.Drain(100*time.Second, time.Second); close(drained) }()
		var leaving []time.Duration
		for range 100 {
			time.Sleep(time.Second)
			synctest.Wait()
			for i, r := range readers {
				if r != nil && r.read() {
					r.expect("open busy:drain")
					r.Close()
					readers[i] = nil
					leaving = append(leaving, time.Since(began))
				}
			}
		}
		<-drained
		if len(leaving) != 100 || leaving[20] > 50*time.Second || leaving[80] < 40*time.Second || leaving[99] > 91*time.Second {
			t.Errorf("%d readers left, at %v", len(leaving), leaving)
		}
		if _, err := w.feed.Subscribe(w.request(w.joining(""))); err == nil {
			t.Error("a new reader was taken")
		}
	})
}

// TestDrainKeepsWhoCannotBeTold: a reader that could not be told elsewhere what it has missed stays to the end of the window,
// unless it misses nothing there.
func TestDrainKeepsWhoCannotBeTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*schema.Stream)
		early  bool
	}{
		"without resume": {func(*schema.Stream) {}, false},
		"with resume":    {resumable, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, c.change)
				strict := w.subscribe(func(r *feed.Request) { w.joining("")(r); r.Strict = true })
				other := w.join("")
				drained := make(chan struct{})
				go func() { w.feed.Drain(100*time.Second, time.Second); close(drained) }()
				time.Sleep(95 * time.Second)
				if !other.read() || strict.read() != c.early {
					t.Errorf("shortly before the end of the window one saw %q, the strict one %q", other.text(), strict.text())
				}
				other.Close()
				time.Sleep(6 * time.Second)
				strict.read()
				strict.expect("open busy:drain")
				strict.Close()
				<-drained
			})
		})
	}
}

func TestReadersAndCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWith(t, shared(nil), feed.Options{MaxReaders: 2, MaxCalls: 1})
		one, two := w.join(""), w.join("")
		refused := func(change func(*feed.Request)) string {
			_, err := w.feed.Subscribe(w.request(change))
			if busy, ok := errors.AsType[*feed.BusyError](err); ok {
				return busy.Reason
			}
			return "none"
		}
		if got := refused(w.joining("")); got != "limit" {
			t.Errorf("the third reader was refused for %q, want limit", got)
		}
		if got := refused(func(r *feed.Request) { w.joining("")(r); r.StreamKey = access.StreamKey{2} }); got != "overload" {
			t.Errorf("the second call was refused for %q, want overload", got)
		}
		closing(one, two)
		back := w.join("")
		closing(back)
	})
}

// TestNothingIsKeptOfARefusedCall: a client that was told of a status holds no id. If the place where it would have begun
// were kept, it would never get past "no longer known".
func TestNothingIsKeptOfARefusedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ask := func(r *feed.Request) { r.ClientID, r.Restart = "me", false }
		s, err := w.feed.Subscribe(w.request(ask))
		if err != nil {
			t.Fatal(err)
		}
		(<-w.backend.calls).send(outcome.New(codes.PermissionDenied, "not yet").Err())
		if _, failed := s.Failed(); !failed {
			t.Fatal("the call has not failed")
		}
		s.Forget()
		s.Close()
		again := w.subscribe(ask)
		again.sees("open")
		closing(again)
	})
}

// TestLostKeptCursors restarts the bridge, which forgets the cursors that it kept: a client that is still there, and says
// where it is, goes on from there, or is told that something is missing.
func TestLostKeptCursors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*schema.Stream)
		want   string
	}{
		{"by the backend's cursor", resumable, "open a2 a3"},
		{"without one", func(*schema.Stream) {}, "open:unknown_cursor reset:unknown_cursor a3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := items(t, tc.change)
				r := before.named("me", access.Principal{})
				(<-before.backend.calls).send(wire("a", 1))
				r.sees("open a1")
				closing(r)
				time.Sleep(time.Second)

				w := items(t, tc.change)
				keeper := w.join("")
				common := <-w.backend.calls
				common.send(wire("a", 2))
				back := w.subscribe(func(q *feed.Request) { w.joining(r.lastID())(q); q.ClientID = "me" })
				synctest.Wait()
				select {
				case own := <-w.backend.calls:
					own.send(wire("a", 2))
				default:
				}
				common.send(wire("a", 3))
				back.sees(tc.want)
				closing(back)
				if again := w.named("me", access.Principal{}); again.text() != "open" || again.opened().Position < back.opened().Position {
					t.Errorf("the client, without saying where it is, saw %q", again.text())
				} else {
					again.Close()
				}
				closing(keeper)
			})
		})
	}
}

// TestKeptCursorsAreBounded fills the room for clients that nobody vouches for: those with a principal still find some,
// and a day later all do.
func TestKeptCursorsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		keeper := w.join("")
		named := func(client string, principal access.Principal) error {
			s, err := w.feed.Subscribe(w.request(func(r *feed.Request) {
				w.joining("")(r)
				r.ClientID, r.Principal = client, principal
			}))
			if err != nil {
				return err
			}
			defer s.Close()
			s.Opening(nil, 0)
			return nil
		}
		var nobody access.Principal
		for n := range 1 << 15 {
			if err := named(strconv.Itoa(n), nobody); err != nil {
				t.Fatalf("client %d: %v", n, err)
			}
		}
		busy := &feed.BusyError{}
		if err := named("one more", nobody); !errors.As(err, &busy) {
			t.Errorf("one anonymous client too many: %v", err)
		}
		if err := named("7", nobody); err != nil {
			t.Errorf("one that is known: %v", err)
		}
		if err := named("one more", access.Principal{1}); err != nil {
			t.Errorf("one with a principal: %v", err)
		}
		time.Sleep(25 * time.Hour)
		if err := named("one more", nobody); err != nil {
			t.Errorf("a day later: %v", err)
		}
		closing(keeper)
	})
}
