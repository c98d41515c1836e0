package feed_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestLinger(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*schema.Stream)
		away   time.Duration
		kept   bool
	}{
		{"back in time", nil, 29 * time.Second, true},
		{"too late", nil, 31 * time.Second, false},
		{"zero cancels at once", func(s *schema.Stream) { s.Linger = 0 }, 0, false},
		{"until done", func(s *schema.Stream) { s.Linger, s.UntilDone = 0, true }, time.Hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.change)
				r := w.subscribe(nil)
				c := <-w.backend.calls
				c.steps <- "one"
				synctest.Wait()
				r.read()
				r.Close()
				time.Sleep(tc.away)
				synctest.Wait()
				if cancelled := w.backend.cancelled.Load() == 1; cancelled == tc.kept {
					t.Errorf("call cancelled: %v", cancelled)
				}
				if tc.kept {
					c.steps <- "two"
					synctest.Wait()
				}
				again := w.subscribe(with(r.lastID()))
				again.read()
				if tc.kept {
					again.expect("open two")
				} else {
					again.expect("open:unknown_cursor reset:unknown_cursor")
				}
				again.Close()
			})
		})
	}
}

func TestSealedRunsAreKeptForTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Age = time.Second })
		r := w.subscribe(nil)
		c := <-w.backend.calls
		c.steps <- "one"
		c.steps <- outcome.New(codes.FailedPrecondition, "no more").Err()
		synctest.Wait()
		r.Close()
		time.Sleep(59 * time.Second)
		late := w.subscribe(with(r.lastID()))
		late.read()
		late.expect("open one end:9")
		late.Close()
		time.Sleep(7 * time.Second) // a minute is over, and logs are looked at every five seconds
		synctest.Wait()
		if s := w.feed.Stats(); s.Runs != 0 {
			t.Errorf("%d runs are kept", s.Runs)
		}
		if w.budget.Used() != 0 {
			t.Errorf("%d bytes are held", w.budget.Used())
		}
		fresh := w.subscribe(nil)
		synctest.Wait()
		fresh.Close()
		if len(w.backend.calls) != 1 {
			t.Error("a request without a cursor did not start a new call")
		}
	})
}

func TestReaderOfAnEndedRunIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Age = time.Second })
		slow := w.subscribe(nil)
		defer slow.Close()
		c := <-w.backend.calls
		c.steps <- "one"
		c.steps <- "two"
		close(c.steps)
		time.Sleep(5 * time.Minute)
		slow.read()
		slow.expect("open one two end:0")
	})
}

func TestUpstreamRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		c.steps <- "one"
		c.steps <- upstream.Waiting{Code: codes.Unavailable, Attempt: 1, RetryIn: time.Second}
		synctest.Wait()
		r.read()
		frame, outage := r.Waiting()
		if want := `data: {"code":14,"attempt":1,"retryInMs":1000}`; outage != 1 || !strings.Contains(string(frame), want) {
			t.Errorf("outage %d: %s", outage, frame)
		}
		c.steps <- &outcome.Outcome{}
		c.steps <- "two"
		c.steps <- upstream.Waiting{Code: codes.Unavailable, Attempt: 1}
		synctest.Wait()
		r.read()
		r.expect("open one reset:upstream_restarted two")
		if _, outage := r.Waiting(); outage != 2 {
			t.Errorf("second outage is number %d", outage)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		<-w.backend.calls
		id, _ := event.Parse(r.lastID())
		w.feed.Cancel(access.Principal{9}, id)
		w.feed.Cancel(access.Principal{}, event.At(1, event.NewMark()))
		synctest.Wait()
		if r.read() {
			t.Fatal("somebody else could cancel the call")
		}
		w.feed.Cancel(access.Principal{}, id)
		w.feed.Cancel(access.Principal{}, id)
		synctest.Wait()
		r.read()
		r.expect("open end:1")
		if n := w.backend.cancelled.Load(); n != 1 {
			t.Errorf("the backend saw %d cancels", n)
		}
	})
}

func TestDrain(t *testing.T) {
	for _, restart := range []bool{true, false} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				r := w.subscribe(func(q *feed.Request) { q.Restart = restart })
				(<-w.backend.calls).steps <- "one"
				drained := make(chan struct{})
				go func() { w.feed.Drain(10*time.Second, 3*time.Second); close(drained) }()
				synctest.Wait()
				var busy *feed.BusyError
				if _, err := w.feed.Subscribe(w.request(nil)); !errors.As(err, &busy) || busy.Reason != "drain" {
					t.Errorf("a new call while draining: %v", err)
				}
				back := w.subscribe(with(r.lastID()))
				back.Close()
				if r.read() {
					t.Error("the stream ended before the window did")
				}
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if !r.read() {
					t.Error("the stream goes on after the window")
				}
				if restart {
					r.expect("open one busy:drain")
				} else {
					r.expect("open one end:14")
				}
				r.Close()
				synctest.Wait()
				select {
				case <-drained:
				default:
					t.Error("Drain waits although the last reader has left")
				}
			})
		})
	}
}

func TestCallIsReopenedWithTheNewestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		token := func(s string) func(*feed.Request) {
			return func(q *feed.Request) { q.Metadata = metadata.Pairs("authorization", s) }
		}
		r := w.subscribe(token("old"))
		c := <-w.backend.calls
		newer := w.subscribe(func(q *feed.Request) { token("new")(q); q.Cursor = r.lastID() })
		if got := c.Metadata().Get("authorization"); got[0] != "new" {
			t.Errorf("with both attached: %v", got)
		}
		newer.Close()
		if got := c.Metadata().Get("authorization"); got[0] != "old" {
			t.Errorf("after the newer left: %v", got)
		}
		r.Close()
	})
}

func TestBudgetRefusesNewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Bytes = 1 << 30 })
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		for range 1000 {
			c.steps <- strings.Repeat("x", 100<<10)
		}
		synctest.Wait()
		if used := w.budget.Used(); used < 60<<20 || used > 70<<20 {
			t.Errorf("%d bytes are held of 64 MiB", used)
		}
		var busy *feed.BusyError
		if _, err := w.feed.Subscribe(w.request(nil)); !errors.As(err, &busy) || busy.Reason != "overload" {
			t.Errorf("a new call with the budget used up: %v", err)
		}
		for len(c.steps) > 0 {
			r.read()
			synctest.Wait()
		}
		r.read()
		if n := strings.Count(r.text(), "xxxx"); n == 0 || len(r.events) != 1001 {
			t.Errorf("%d events", len(r.events))
		}
	})
}

func TestEndedRunsMakeRoomForNewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Bytes = 1 << 30 })
		r := w.subscribe(nil)
		c := <-w.backend.calls
		for range 700 {
			c.steps <- strings.Repeat("x", 100<<10)
		}
		synctest.Wait()
		w.feed.Cancel(access.Principal{}, r.opened())
		synctest.Wait()
		r.Close()
		next := w.subscribe(nil)
		defer next.Close()
		if held := w.budget.Used(); held > 1<<20 {
			t.Errorf("%d bytes are held", held)
		}
		gone := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = r.events[0].ID, false })
		gone.expect("open:unknown_cursor end:5")
		gone.Close()
	})
}

func TestDrainGivesUpCallsThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.subscribe(nil).Close()
		synctest.Wait()
		began := time.Now()
		w.feed.Drain(0, time.Hour)
		if took := time.Since(began); took != 0 {
			t.Errorf("Drain took %v", took)
		}
	})
}

// TestRequestsCountInTheBudget: a client that makes many calls with large requests fills what is counted, not the memory
// beside it.
func TestRequestsCountInTheBudget(t *testing.T) {
	const calls, size = 100, 64 << 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for range calls {
			r := w.subscribe(func(r *feed.Request) { r.Wire, r.Canonical = make([]byte, size), make([]byte, size) })
			close((<-w.backend.calls).steps)
			synctest.Wait()
			r.read()
			r.Close()
		}
		if used := w.budget.Used(); used < calls*2*size {
			t.Errorf("%d bytes are counted, at least %d are kept", used, calls*2*size)
		}
		time.Sleep(time.Hour)
		if used := w.budget.Used(); used != 0 {
			t.Errorf("%d bytes are counted when nothing is kept", used)
		}
	})
}
