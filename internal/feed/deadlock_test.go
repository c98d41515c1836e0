package feed_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// TestMakingRoomWhileReadersJoin has events of a keyed stream take the place of ended streams, while readers join and leave
// all the time: making room must not wait for who waits for the snapshot.
func TestMakingRoomWhileReadersJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWith(t, shared(func(s *schema.Stream) { starting(schema.StartLatestPerKey)(s) }),
			feed.Options{Budget: eventlog.NewBudget(1 << 20)})
		keeper := w.join("")
		c := <-w.backend.calls
		big := strings.Repeat("x", 10_000)
		var work sync.WaitGroup
		for i := range 4 {
			work.Go(func() {
				for n := range 100 {
					ended, err := w.feed.Subscribe(w.request(func(r *feed.Request) {
						w.joining("")(r)
						r.StreamKey = access.StreamKey{9, byte(i), byte(n)}
					}))
					if err == nil {
						ended.Close()
					}
					if s, err := w.feed.Subscribe(w.request(w.joining(""))); err == nil {
						s.Close()
					}
				}
			})
		}
		work.Go(func() {
			for n := range 800 {
				c.steps <- wire(big, n+1)
			}
		})
		done := make(chan struct{})
		go func() {
			for {
				select {
				case other := <-w.backend.calls:
					other.steps <- wire(big, 1)
					close(other.steps)
				case <-done:
					return
				}
			}
		}()
		work.Wait()
		synctest.Wait() // all calls that were made have come
		close(done)
		synctest.Wait()
		keeper.read()
		closing(keeper)
	})
}
