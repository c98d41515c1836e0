//go:build !race

// With the race detector on, pools forget at random, on purpose.

package connect_test

import (
	"fmt"
	"math"
	"testing"
)

// What a connect allocates and an open connection keeps does not grow unnoticed. net/http has two thirds of the
// allocations. The bridge keeps 530 bytes; the least of three counts, since the runtime keeps goroutines and stacks for
// later as it likes.
func TestConnect(t *testing.T) {
	const (
		clients   = 2000
		maxAllocs = 58
		maxKept   = 900 // bytes
	)
	backend := startBackend(t)
	allocs, kept := math.Inf(1), math.Inf(1)
	for range 3 {
		addr := start(t, backend).Addr().String()
		s := newSwarm(t, addr, fmt.Sprintf(requests[0].request, addr))
		s.connect(1)
		none, before := held(), now(t)
		s.connect(clients)
		allocs = min(allocs, float64(now(t).mallocs-before.mallocs)/clients)
		kept = min(kept, float64(held()-none)/clients)
		s.reset()
	}
	if allocs > maxAllocs || kept > maxKept {
		t.Errorf("a connect allocates %.1f times and keeps %.0f bytes, want at most %d and %d", allocs, kept, maxAllocs, maxKept)
	}
	t.Logf("a connect allocates %.1f times and keeps %.0f bytes", allocs, kept)
}
