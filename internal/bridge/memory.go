package bridge

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// trimEvery is how often it is looked whether a burst of connects is over, trimPause how long memory is not given back
	// again: it takes a collection of the whole heap.
	trimEvery = time.Second
	trimPause = time.Minute
	// minBurst is how many connects since the last trim make another one worth its while: net/http leaves about 16 KB of
	// garbage behind each.
	minBurst = 1000
)

// trim gives the memory back that a burst of connects has left, once it is over, until ctx ends. The runtime would by
// itself keep as much garbage as there is heap, and connections that are idle make no more of it: what the burst took
// would stay for minutes.
func trim(ctx context.Context, connects func() uint64, free func()) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	var trimmed, before uint64
	last := time.Now().Add(-trimPause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := connects()
		if now == before && now-trimmed >= minBurst && time.Since(last) >= trimPause {
			free()
			trimmed, last = now, time.Now()
		}
		before = now
	}
}

// heapFloor makes the runtime collect garbage no sooner than there are 32 MB of heap. Without it a bridge whose logs are
// small collects for every 4 MB that grpc-go allocates, which costs a tenth of what taking a message in does.
type heapFloor []byte

// newHeapFloor returns what is to be kept for as long as the floor is to last. Nobody touches it, so that it takes address
// space and no memory. There is none where the process has a small limit of its own (GOMEMLIMIT), for which it would count.
func newHeapFloor() heapFloor {
	if debug.SetMemoryLimit(-1) < 256<<20 {
		return nil
	}
	return make(heapFloor, 16<<20)
}

// freeMemory returns to the system what is not in use.
func freeMemory() { debug.FreeOSMemory() }
