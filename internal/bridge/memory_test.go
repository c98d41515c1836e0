package bridge_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
)

// TestMemoryOfABurstIsGivenBack: once, when it is over, not for a few connects, and not all the time.
func TestMemoryOfABurstIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var connects atomic.Uint64
		freed := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			bridge.Trim(ctx, connects.Load, func() { freed++ })
		}()
		for _, step := range []struct {
			connects uint64
			after    time.Duration
			want     int
		}{
			{0, bridge.TrimEvery, 0},
			{900, bridge.TrimEvery, 0},
			{0, bridge.TrimEvery, 0},
			{200, bridge.TrimEvery, 0},
			{5000, bridge.TrimEvery, 0},
			{1, bridge.TrimEvery, 0}, // the burst goes on
			{0, bridge.TrimEvery, 1},
			{0, time.Hour, 1},
			{999, bridge.TrimEvery, 1},
			{0, time.Hour, 1},
			{1, bridge.TrimEvery, 1},
			{0, bridge.TrimEvery, 2},
			{0, time.Hour, 2},
			{2000, 2 * bridge.TrimEvery, 3},
			{2000, bridge.TrimEvery, 3},
			{0, bridge.TrimPause / 2, 3},
			{0, bridge.TrimPause / 2, 4},
		} {
			connects.Add(step.connects)
			time.Sleep(step.after)
			synctest.Wait()
			if freed != step.want {
				t.Errorf("after %d more: freed %d times, want %d", step.connects, freed, step.want)
			}
		}
		cancel()
		<-done
	})
}
