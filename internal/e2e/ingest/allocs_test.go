//go:build !race

// With the race detector on, pools forget at random, on purpose.

package ingest_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// What the bridge adds to what grpc-go allocates for a message is nothing: what it does allocate, the log's memory, is
// for many messages.
func TestIngestDoesNotAllocate(t *testing.T) {
	address := startServer(t)
	const messages = 20_000
	measure := func(w way) float64 {
		w(t, messages)
		before := used(t)
		w(t, messages)
		return float64(used(t).mallocs-before.mallocs) / messages
	}
	floor := measure(bareWay(withStats())(t, address))
	for name, c := range map[string]struct {
		way  way
		more float64
	}{
		"upstream":    {upstreamWay(t, address), 0.03},
		"shared log":  {feedWay(schema.SharePublic, nobody)(t, address), 0.1},
		"own, reader": {feedWay(schema.ShareNone, keepingUp)(t, address), 0.3},
	} {
		if got := measure(c.way); got > floor+c.more {
			t.Errorf("%s: %.3f allocations a message, want at most %.2f more than grpc-go's %.3f", name, got, c.more, floor)
		} else {
			t.Logf("%s: %.3f more than grpc-go's %.3f", name, got-floor, floor)
		}
	}
}
