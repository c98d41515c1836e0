package feed_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestReadsACallToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		if !r.Fresh {
			t.Error("a new call is not fresh")
		}
		c := <-w.backend.calls
		for i := range 3 {
			c.steps <- fmt.Sprint("e", i)
		}
		close(c.steps)
		synctest.Wait()
		if !r.read() {
			t.Error("the stream has not ended")
		}
		r.expect("open e0 e1 e2 end:0")
		var last event.Position
		for _, e := range r.events[1:] {
			n, _ := strconv.ParseUint(strings.Split(e.ID, ".")[0], 10, 64)
			if last != 0 && event.Position(n) != last+1 {
				t.Errorf("id %s after position %d", e.ID, last)
			}
			last = event.Position(n)
		}
		if !strings.HasSuffix(r.lastID(), ".end") {
			t.Errorf("last id %s", r.lastID())
		}
		if _, err := w.feed.Subscribe(w.request(with(r.lastID()))); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("Subscribe with the end's id: %v", err)
		}
	})
}

func TestResumesAtEveryEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		c := <-w.backend.calls
		for i := range 5 {
			c.steps <- fmt.Sprint("e", i)
		}
		synctest.Wait()
		r.read()
		rest := []string{"e0", "e1", "e2", "e3", "e4"}
		for i, e := range r.events {
			again := w.subscribe(with(e.ID))
			again.read()
			again.expect(strings.TrimSpace("open " + strings.Join(rest[i:], " ")))
			if !strings.Contains(again.events[0].Data, `"resumed":true`) || again.events[0].ID != e.ID || again.Fresh {
				t.Errorf("resumed at %s: %v", e.ID, again.events[0])
			}
			again.Close()
		}
		r.Close()
		if len(w.backend.calls) != 0 {
			t.Error("a resumption made another call")
		}
	})
}

func TestCutBeforeTheFirstEventComesBackToTheSameCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		r.Close()
		c := <-w.backend.calls
		again := w.subscribe(with(r.lastID()))
		defer again.Close()
		c.steps <- "first"
		synctest.Wait()
		again.read()
		again.expect("open first")
	})
}

func TestUnknownCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		c.steps <- "one"
		synctest.Wait()
		r.read()
		id, _ := event.Parse(r.lastID())
		ahead, other, end := id, id, event.EndAt(id.Position, event.CheckOf("other", nil))
		ahead.Position++
		other.Mark = event.NewMark()
		for name, cursor := range map[string]string{
			"ahead of the log": ahead.String(), "another run": other.String(), "another stream's end": end.String(),
			"garbage": "garbage", "too long": strings.Repeat("9", 500),
		} {
			restarted := w.subscribe(with(cursor))
			restarted.expect("open:unknown_cursor reset:unknown_cursor")
			(<-w.backend.calls).steps <- "again"
			synctest.Wait()
			restarted.read()
			restarted.expect("open:unknown_cursor reset:unknown_cursor again")
			if parsed, ok := event.Parse(cursor); ok && !parsed.End && restarted.events[0].ID != cursor {
				t.Errorf("%s: the first id is %s, not the cursor presented", name, restarted.events[0].ID)
			}
			restarted.Close()
			ended := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = cursor, false })
			if !ended.read() {
				t.Errorf("%s: not ended", name)
			}
			ended.expect("open:unknown_cursor end:5")
			ended.Close()
			if _, err := w.feed.Subscribe(w.request(with(ended.lastID()))); !errors.Is(err, feed.ErrEnded) {
				t.Errorf("%s: Subscribe with the end's id: %v", name, err)
			}
			if len(w.backend.calls) != 0 {
				t.Errorf("%s: a call was made although it must not run again", name)
			}
		}
		for name, change := range map[string]func(*feed.Request){
			"another principal": func(q *feed.Request) { q.Principal = access.Principal{1} },
			"another request":   func(q *feed.Request) { q.Canonical = []byte("other") },
			"another method": func(q *feed.Request) {
				m := *q.Method
				m.Name = "test.Service.Other"
				q.Method = &m
			},
		} {
			stranger := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = r.lastID(), false; change(q) })
			if got := stranger.text(); got != "open:unknown_cursor end:5" {
				t.Errorf("%s: client saw %q", name, got)
			}
			stranger.Close()
		}
	})
}

func TestFlippedCursorsAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		(<-w.backend.calls).steps <- "secret"
		synctest.Wait()
		r.read()
		cursor := []byte(r.events[0].ID)
		dot := bytes.IndexByte(cursor, '.')
		for i := dot; i < len(cursor); i++ {
			flipped := bytes.Clone(cursor)
			flipped[i] ^= 1
			s := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = string(flipped), false })
			s.read()
			if strings.Contains(s.text(), "secret") {
				t.Errorf("cursor %q reads the stream of %q", flipped, cursor)
			}
			s.Close()
		}
	})
}

func TestKeysNameCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		keyed := func(q *feed.Request) { q.Key = "aaaaaaaaaaaaaaaaaaaaaa" }
		r := w.subscribe(keyed)
		c := <-w.backend.calls
		c.steps <- "one"
		synctest.Wait()
		r.read()
		r.Close()
		again := w.subscribe(keyed)
		again.read()
		again.expect("open one")
		again.Close()
		if _, err := w.feed.Subscribe(w.request(func(q *feed.Request) { keyed(q); q.Canonical = []byte("x") })); !errors.Is(err, feed.ErrKeyConflict) {
			t.Errorf("another request under the key: %v", err)
		}
		other := w.subscribe(func(q *feed.Request) { keyed(q); q.Principal = access.Principal{7} })
		synctest.Wait()
		other.Close()
		if len(w.backend.calls) != 1 {
			t.Errorf("%d calls for another principal with the key, want its own", len(w.backend.calls))
		}
		<-w.backend.calls
		unknown := w.subscribe(func(q *feed.Request) { keyed(q); q.Cursor = "lost" })
		unknown.read()
		unknown.expect("open:unknown_cursor reset:unknown_cursor one")
		unknown.Close()
		close(c.steps)
		synctest.Wait()
		sealed := w.subscribe(keyed)
		sealed.read()
		sealed.expect("open one end:0")
		sealed.Close()
	})
}

func TestSlowerTabIsToldWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Events = 2 })
		fast := w.subscribe(nil)
		defer fast.Close()
		slow := w.subscribe(with(fast.lastID()))
		defer slow.Close()
		c := <-w.backend.calls
		for i := range 6 {
			c.steps <- fmt.Sprint("e", i)
		}
		synctest.Wait()
		fast.read()
		slow.read()
		fast.expect("open e0 e1 e2 e3 e4 e5")
		slow.expect("open reset:expired e4 e5")
		if !strings.Contains(slow.events[1].Data, `"missed":4`) {
			t.Errorf("reset says %s", slow.events[1].Data)
		}
		late := w.subscribe(with(fast.events[0].ID))
		defer late.Close()
		late.read()
		late.expect("open:expired reset:expired e4 e5")
		again := w.subscribe(with(late.events[1].ID))
		defer again.Close()
		again.read()
		again.expect("open e4 e5")
	})
}

func TestPositionsRiseAcrossRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		now := uint64(time.Now().UnixMicro())
		for name, tc := range map[string]struct{ presented, atLeast, below uint64 }{
			"ahead of the clock":     {now + 60e6, now + 60e6 + 1, now + 61e6},
			"far ahead of the clock": {now + 3600e6, now, now + 60e6},
			"behind the clock":       {5, now, now + 60e6},
		} {
			cursor := event.At(event.Position(tc.presented), event.NewMark())
			r := w.subscribe(with(cursor.String()))
			(<-w.backend.calls).steps <- "x"
			synctest.Wait()
			r.read()
			got, _ := event.Parse(r.lastID())
			if p := uint64(got.Position); p <= tc.atLeast || p >= tc.below {
				t.Errorf("%s: after %d comes %d", name, tc.presented, p)
			}
			r.Close()
		}
	})
}

// TestKeyedCallAtABackendsCursor has a browser repeat a request that was cut before its first byte: its key names a call
// that was opened just where its cursor says, so nothing is missing.
func TestKeyedCallAtABackendsCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, resumable)
		ask := func(sequence int) func(*feed.Request) {
			return func(r *feed.Request) {
				w.joining(w.from(sequence))(r)
				r.Key = "key"
			}
		}
		first := w.subscribe(ask(3))
		c := <-w.backend.calls
		closing(first)
		second := w.subscribe(ask(3))
		c.send(wire("a", 4), wire("a", 5))
		second.sees("open a4 a5")
		other := w.subscribe(ask(2)) // what lies between is unknown here
		other.sees("open:unknown_cursor reset:unknown_cursor a4 a5")
		closing(second, other)
	})
}
