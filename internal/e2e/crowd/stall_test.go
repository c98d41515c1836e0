//go:build unix

package crowd_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// tight keeps little, so that who stops reading for long has missed something.
const tight = "write_timeout: 3s\nlimits: {log_bytes: 1073741824}\nrules:\n" +
	"- {selector: demo.script.v1.BroadcastService.WatchEarliest, stream: {retention: {events: 200, bytes: 67108864}}}\n"

// grown is by how much the bridge's own memory may grow while a thousand of ten thousand readers take nothing: the logs,
// which hold less than a megabyte here, and what the garbage collector has not looked at yet. What the readers have not
// taken is in the kernel, within the sizes of socket buffers, and in the logs, once for all: kept for each of them, it
// would be 500 MB.
const grown = 96 << 20

// TestStalledReaders: a tenth of all readers stops reading. The others go on as if they were not there, and the bridge's
// memory does not grow by them. Those who stay away are reset after the write timeout; whoever comes back, before or
// after that, goes on where it was or is told how many events it has missed.
func TestStalledReaders(t *testing.T) {
	const last, size = 400, 1000
	ctx, random := guarded(t), rand.New(rand.NewPCG(seed(t), 0))
	all := clients(t)
	back := startBackend(t)
	bridge := startBridge(t, back.address, tight, 0)
	c := newCrowd(t)
	// Half of the readers of the first stream stall. The second one has more readers, and less to read.
	large, small := back.log("large", size, last, true), back.log("small", 0, last, true)
	var stalled, steady []*reader
	watch := &sleepers{left: make(chan struct{}), over: ctx.Done(), dead: map[*net.TCPConn]bool{}}
	for i := range all {
		b := small
		if i < all/5 {
			b = large
		}
		r := c.add(b, bridge.address, "earliest", rand.New(rand.NewPCG(random.Uint64(), 0)))
		r.next = 1
		if b == large && i%2 == 0 {
			r.mayReset, r.stallAt = true, 1+random.IntN(40)
			r.stall = watch.nap
			if i%4 == 0 {
				r.stall = watch.sleep
				watch.count++
			}
			stalled = append(stalled, r)
		} else {
			steady = append(steady, r)
		}
	}
	c.start(ctx, c.readers...)
	eventually(ctx, t, "everybody has the first event", func() bool { return slowest(c.readers) >= 1 })
	memory := watchMemory(bridge)

	// The readers set the pace: nobody who reads may fall behind what is kept.
	for n := 1; n < last; n += min(20, last-n) {
		for _, b := range []*book{large, small} {
			back.Append(b.stream, uint64(min(20, last-n)))
		}
		eventually(ctx, t, "the steady readers follow", func() bool { return slowest(steady) >= n-60 || c.broken() })
	}
	eventually(ctx, t, "the steady readers have all", func() bool { return slowest(steady) == last || c.broken() })
	eventually(ctx, t, "who takes nothing is reset", func() bool { return watch.reset() || c.broken() })
	base, most := memory()
	close(watch.left)
	c.finish()
	t.Logf("%d stalled, %d of them until they were reset; the bridge had %d MB before and %d MB at most", len(stalled), watch.count, base>>20, most>>20)
	for _, b := range []*book{large, small} {
		if err := b.chained(); err != nil {
			t.Error(err)
		}
	}
	if !raceDetector && most-base > grown {
		t.Errorf("the bridge has grown by %d MB, want at most %d", (most-base)>>20, grown>>20)
	}
	if c.counts.resets.Load() < int64(watch.count)/2 {
		t.Errorf("%d of %d who were away for long have missed something: that shows little", c.counts.resets.Load(), watch.count)
	}
}

// broken reports whether a reader has seen something wrong: then nothing need be waited for.
func (c *crowd) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.wrong) > 0
}

// sleepers are those who do not read.
type sleepers struct {
	left  chan struct{}   // closed when who sleeps wakes up
	over  <-chan struct{} // closed when the test is
	count int             // how many sleep, before they start

	mu    sync.Mutex
	conns []*net.TCPConn
	dead  map[*net.TCPConn]bool // those that the bridge has reset
}

// nap reads nothing for less than the write timeout.
func (s *sleepers) nap(r *reader, _ *net.TCPConn) {
	<-time.After(time.Duration(200+r.random.IntN(1500)) * time.Millisecond)
}

// sleep reads nothing until all wake up.
func (s *sleepers) sleep(r *reader, conn *net.TCPConn) {
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	select {
	case <-s.left:
	case <-s.over:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.reset = s.dead[conn]
}

// reset reports whether all of them have been reset. A reader that does not read is not told, but its socket is.
func (s *sleepers) reset() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		if s.dead[conn] {
			continue
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			continue
		}
		_ = raw.Control(func(fd uintptr) {
			if code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR); err == nil && code != 0 {
				s.dead[conn] = true
			}
		})
	}
	return len(s.dead) == s.count
}

// watchMemory watches how much memory the bridge has, until it is asked.
func watchMemory(b *bridge) func() (base, most int) {
	ctx, stop := context.WithCancel(context.Background())
	var peak atomic.Int64
	first := b.anonymous()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), int64(b.anonymous())))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	b.t.Cleanup(func() { stop(); <-done })
	return func() (int, int) {
		stop()
		<-done
		return first, int(peak.Load())
	}
}
