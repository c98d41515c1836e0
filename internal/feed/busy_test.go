package feed_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestDrainOfAStreamThatNeverPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		c := <-w.backend.calls
		c.steps <- "one"
		synctest.Wait()
		go w.feed.Drain(0, 3*time.Second)
		synctest.Wait()
		ended := false
		for range 100 { // there is always something to read
			c.steps <- "more"
			synctest.Wait()
			frames, err := r.Next(1)
			if err != nil {
				ended = true
				break
			}
			r.parse(frames)
			r.Written()
		}
		if !ended || !strings.HasSuffix(r.text(), "busy:drain") {
			t.Errorf("ended %v, client saw %q", ended, r.text())
		}
		r.Close()
	})
}

func poolFull() error {
	o := outcome.New(codes.Unavailable, "full")
	o.Class, o.Cause = outcome.Busy, upstream.ErrPoolFull
	return o.Err()
}

func TestFullPoolIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(func(q *feed.Request) { q.Key = "aaaaaaaaaaaaaaaaaaaaaa" })
		(<-w.backend.calls).steps <- poolFull()
		synctest.Wait()
		r.read()
		r.expect("open busy:overload")
		r.Close()
		again := w.subscribe(func(q *feed.Request) { q.Key = "aaaaaaaaaaaaaaaaaaaaaa" })
		synctest.Wait()
		if len(w.backend.calls) != 1 {
			t.Error("the key still names the call that could not begin")
		}
		again.Close()
	})
}

func TestSubscribeWhileClosing(t *testing.T) {
	for range 200 {
		w := newWorld(t, nil)
		go func() {
			for range cap(w.backend.calls) {
				s, err := w.feed.Subscribe(w.request(nil))
				if err != nil {
					return
				}
				s.Close()
			}
		}()
		w.feed.Close()
		if s := w.feed.Stats(); s.Active != 0 {
			t.Fatalf("%d calls run after Close", s.Active)
		}
	}
}

// TestFullPoolUnderEND: who must not run the call twice has no other call to come back to, but the key is free again.
func TestFullPoolUnderEND(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		end := func(q *feed.Request) { q.Key, q.Restart = "aaaaaaaaaaaaaaaaaaaaaa", false }
		r := w.subscribe(end)
		(<-w.backend.calls).steps <- poolFull()
		synctest.Wait()
		r.read()
		r.expect("open end:14")
		r.Close()
		w.subscribe(end).Close()
		synctest.Wait()
		if len(w.backend.calls) != 1 {
			t.Error("the key still names the call that could not begin")
		}
	})
}
