package load

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

// spread is how many events the fastest reader may be ahead of the slowest one.
const spread = 1 << 16

// tally is what readers that share a lock have received. One lock is taken for many events.
type tally struct {
	mu      sync.Mutex
	readers int    // how many are counted
	heads   int    // how many have their response's head
	first   uint64 // the number of the first event that each must get
	latency bool
	shared  bool // all read one stream: an event's time is the same for all
	hist    Histogram
	events  uint64 // since the last Reset
	all     uint64
	bytes   uint64         // that arrived,
	wire    atomic.Uint64  // or, where connections are counted without the lock, here
	got     [spread]uint32 // by number: how many readers have it
	sent    [256]sentAt
	err     error

	reached atomic.Uint64 // the number up to which every reader has every event
	moved   func()        // called when heads, reached or err changed; must not block
	told    bool          // moved is due
}

type sentAt struct {
	seq  uint64
	sent int64
}

func newTally(first uint64, latency, shared bool, moved func()) *tally {
	t := &tally{first: first, latency: latency, shared: shared, moved: moved}
	t.reached.Store(first - 1)
	return t
}

// unlock ends a batch and says whether anything moved.
func (t *tally) unlock() {
	told := t.told
	t.told = false
	t.mu.Unlock()
	if told {
		t.moved()
	}
}

// fail remembers the first failure.
func (t *tally) fail(reader int, err error) {
	if t.err == nil {
		t.err = fmt.Errorf("reader %d: %w", reader, err)
		t.told = true
	}
}

// head counts a reader whose head has arrived.
func (t *tally) head() {
	t.heads++
	t.told = true
}

// event counts a delivery. now is when it arrived; line is the event's text behind its number.
func (t *tally) event(seq uint64, now int64, line []byte) {
	t.events++
	t.all++
	if t.latency {
		t.hist.Add(now - t.sentOf(seq, line))
	}
	n := &t.got[seq%spread]
	*n++
	if int(*n) == t.readers {
		*n = 0
		t.reached.Store(seq)
		t.told = true
	}
}

func (t *tally) sentOf(seq uint64, line []byte) int64 {
	known := &t.sent[seq%uint64(len(t.sent))]
	if t.shared && known.seq == seq {
		return known.sent
	}
	sent, ok := event.Sent(line)
	if !ok {
		return 0 // shows as a latency of decades
	}
	*known = sentAt{seq: seq, sent: sent}
	return sent
}
