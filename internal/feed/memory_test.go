package feed_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// heap is the memory in use, in bytes.
func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestWhatLeadsToEventsCounts: small events with a cursor each cost more beside the log than in it. A budget that did not
// count that would be none.
func TestWhatLeadsToEventsCounts(t *testing.T) {
	const events = 20_000
	for _, field := range []string{"none", "sequence", "token"} {
		t.Run(field, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, func(s *schema.Stream) {
					s.Retention.Events, s.Retention.Bytes = events, 32<<20
					if field != "none" {
						s.Resume = &schema.Resume{Event: pathTo(protoreflect.Name(field)), Request: pathTo(protoreflect.Name(field))}
					}
				})
				before := heap()
				r := w.join("")
				c := <-w.backend.calls
				for n := range events {
					m := protowire.AppendTag([]byte(wire("k", n+1)), 3, protowire.BytesType)
					c.steps <- string(protowire.AppendString(m, fmt.Sprintf("token%d", n)))
				}
				synctest.Wait()
				r.read()
				r.events = nil
				took, counted := heap()-before, w.budget.Used()
				if took > counted*5/4 || counted > took*5/4 {
					t.Errorf("%d bytes are counted, %d are taken", counted, took)
				}
				closing(r)
			})
		})
	}
}

// TestKeysTakeNoMoreThanHalfTheBudget: one stream with large keys must not take the room of all others.
func TestKeysTakeNoMoreThanHalfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 8 << 20
		w := newWorldWith(t, shared(func(s *schema.Stream) {
			starting(schema.StartLatestPerKey)(s)
			s.MaxKeys = 10_000
		}), feed.Options{Budget: eventlog.NewBudget(budget)})
		r := w.join("")
		c := <-w.backend.calls
		large := strings.Repeat("x", 8<<10)
		for n := range 1200 { // about 10 MB
			c.steps <- wire(fmt.Sprintf("k%d-%s", n, large), n+1)
			if n%100 == 0 {
				synctest.Wait()
				r.read()
				r.events = nil
			}
		}
		synctest.Wait()
		r.read()
		if used := w.budget.Used(); used > budget*3/4 {
			t.Errorf("%d bytes are in use", used)
		}
		_, err := w.feed.Subscribe(w.request(func(r *feed.Request) { w.joining("")(r); r.StreamKey = access.StreamKey{2} }))
		if err != nil {
			t.Errorf("another stream is turned away: %v", err)
		}
		late := w.join("")
		late.read()
		if n := len(late.events); n < 400 || !strings.HasPrefix(late.events[n-2].Data, "k1199-") {
			t.Errorf("who joins gets %d events", n)
		}
		closing(r, late)
	})
}

// TestNobodyWillBeSentWhatTheCallWaitsFor: while the budget is short a shared call waits until its newest event was sent to
// somebody. A reader that begins behind that event, or is moved there, does not keep the call waiting for ever.
func TestNobodyWillBeSentWhatTheCallWaitsFor(t *testing.T) {
	for name, c := range map[string]struct {
		start schema.Start
		want  string
	}{
		"begins at the end":     {schema.StartLive, "open a2 end:0"},
		"begins with the state": {schema.StartLatestPerKey, "open a1 bookmark a2 end:0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(c.start))
				first := w.join("")
				call := <-w.backend.calls
				w.budget.Hold(int(w.budget.Limit())) // others have taken it all
				call.send(wire("a", 1), wire("a", 2))
				first.Close()
				second := w.join("")
				for range 3 { // the call goes on when something was read
					second.read()
					synctest.Wait()
				}
				close(call.steps)
				synctest.Wait()
				second.sees(c.want)
				w.budget.Hold(-int(w.budget.Limit()))
				closing(second)
			})
		})
	}
	t.Run("is moved to the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := items(t, func(s *schema.Stream) { s.Retention.Events = 2 })
			slow := w.join("")
			call := <-w.backend.calls
			n := 0
			send := func(count int) {
				for range count {
					n++
					call.send(wire("a", n))
				}
			}
			for range 2 {
				send(5)
				slow.step() // a reset
				slow.step()
			}
			send(5)
			w.budget.Hold(int(w.budget.Limit()))
			send(2)     // the call waits behind the first
			slow.step() // the third reset
			close(call.steps)
			for range 3 {
				synctest.Wait()
				slow.read()
			}
			slow.sees("open reset:expired a4 reset:expired a9 reset:expired a17 end:0")
			w.budget.Hold(-int(w.budget.Limit()))
			closing(slow)
		})
	})
}
