package feed_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestPerCallResumesByCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, resumable)
		own := func(cursor string) func(*feed.Request) {
			return func(r *feed.Request) { w.joining(cursor)(r); r.Restart = false }
		}
		back := w.subscribe(own(w.from(3)))
		c := <-w.backend.calls
		if string(c.from) != wire("", 3)[2:] {
			t.Fatalf("the call was opened with %q", c.from)
		}
		c.send(wire("a", 4))
		back.sees("open a4")
		back.rises()
		if !strings.Contains(back.events[0].Data, `"resumed":true`) {
			t.Errorf("stream.open says %s", back.events[0].Data)
		}
		closing(back)
	})
}

// TestCursorsThatBreakTheRules are not handed out.
func TestCursorsThatBreakTheRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		r := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 5), wire("a", 4), wire("a", 6))
		r.sees("open a5 a4 a6")
		for _, e := range r.events {
			if has := strings.Contains(e.ID, "~c"); has != (e.Data == "a5") {
				t.Errorf("event %s has the id %s", e.Data, e.ID)
			}
		}
		closing(r)
	})
}

func TestWaitingIsNoReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		r := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1), upstream.Waiting{Code: 14, Attempt: 1, RetryIn: time.Second})
		if _, outage := r.Waiting(); outage != 1 {
			t.Error("the reader is not told that the backend is away")
		}
		c.send(wire("a", 2))
		r.sees("open a1 a2")
		closing(r)
	})
}
