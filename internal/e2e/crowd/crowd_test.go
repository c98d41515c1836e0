//go:build unix

package crowd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// roomy keeps all that a test sends.
const roomy = "limits: {log_bytes: 1073741824}\nrules:\n" +
	"- {selector: demo.script.v1.BroadcastService.WatchPublic, stream: {retention: {events: 200000, bytes: 67108864}}}\n" +
	"- {selector: demo.script.v1.BroadcastService.WatchEarliest, stream: {retention: {events: 200000, bytes: 67108864}}}\n" +
	"- {selector: demo.script.v1.BroadcastService.WatchOwn, stream: {retention: {events: 200000, bytes: 1048576}}}\n"

// crowd is many readers, and what all of them did.
type crowd struct {
	t       *testing.T
	readers []*reader
	counts  tally
	work    sync.WaitGroup
	dialing chan struct{}

	mu    sync.Mutex
	wrong []error
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	return &crowd{t: t, dialing: make(chan struct{}, 256)}
}

// add adds a reader that does not run yet.
func (c *crowd) add(b *book, target, method string, random *rand.Rand) *reader {
	r := &reader{
		number: len(c.readers), book: b, target: target, path: "/v1/" + method + "/" + b.stream, random: random,
		counts: &c.counts, dialing: c.dialing,
	}
	c.readers = append(c.readers, r)
	return r
}

// start lets readers run.
func (c *crowd) start(ctx context.Context, readers ...*reader) {
	for _, r := range readers {
		c.work.Go(func() {
			if err := r.run(ctx); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.wrong = append(c.wrong, err)
			}
		})
	}
}

// finish waits for all readers and reports what was wrong.
func (c *crowd) finish() {
	c.t.Helper()
	c.work.Wait()
	kinds := map[string]int{}
	for i, err := range c.wrong {
		if w, ok := errors.AsType[*wrongError](err); ok {
			kinds[w.kind]++
		} else {
			kinds["not ended"]++
		}
		if i < 10 {
			c.t.Errorf("%v", err)
		}
	}
	if len(c.wrong) > 0 {
		c.t.Errorf("%d of %d readers: %v", len(c.wrong), len(c.readers), kinds)
	}
	c.t.Logf("%d readers: %v", len(c.readers), &c.counts)
}

// slowest is the number of the event that all of these readers have.
func slowest(readers []*reader) int {
	least := int64(1 << 60)
	for _, r := range readers {
		least = min(least, r.read.Load())
	}
	return int(least)
}

// opened reports whether all readers have a cursor.
func (c *crowd) opened() bool {
	return !slices.ContainsFunc(c.readers, func(r *reader) bool { return !r.opened.Load() })
}

// cutter draws fates, about so many cuts over a stream of size bytes. Who has cut often enough reads to the end.
func cutter(cuts, size int) func(*reader) fate {
	return func(r *reader) fate {
		f := fate{how: how(r.random.IntN(3)), idle: time.Duration(500+r.random.IntN(5000)) * time.Millisecond}
		if r.random.IntN(10) == 0 {
			f.slow = time.Duration(r.random.IntN(20)) * time.Millisecond
		}
		if r.ended || r.cuts >= 2*cuts {
			return f
		}
		switch n := r.random.IntN(20); {
		case n == 0:
			f.kind = cutInRequest
		case n == 1:
			f.kind = cutUnanswered
		case n < 5: // in the head, or the first frames
			f.kind, f.after = cutBehind, 1+r.random.IntN(1000)
		default:
			f.kind, f.after = cutBehind, 1+r.random.IntN(2*size/cuts)
		}
		return f
	}
}

// publish adds events to all logs, which have one, up to the number last, in bursts. Now and then many connections are cut
// at once.
func (c *crowd) publish(back *backend, books []*book, random *rand.Rand, last int) {
	for n := 1; n < last; {
		<-time.After(time.Duration(50+random.IntN(200)) * time.Millisecond)
		burst := min(1+random.IntN(5), last-n)
		back.appendAll(books, burst)
		n += burst
		if random.IntN(10) > 0 {
			continue
		}
		for _, r := range c.readers {
			if conn := r.conn.Load(); conn != nil && random.IntN(3) == 0 {
				_ = conn.SetLinger(0)
				_ = conn.Close()
				c.counts.cut.Add(1)
			}
		}
	}
}

// TestCrowd: whatever ten thousand clients do to their connections, each gets every event of its stream once, in order, to
// the byte, and then the end.
func TestCrowd(t *testing.T) {
	const streams, cuts, size = 20, 4, 100
	ctx, random := guarded(t), rand.New(rand.NewPCG(seed(t), 0))
	all, last := clients(t), int(*eventsFlag)
	back := startBackend(t)
	bridge := startBridge(t, back.address, roomy, 0)
	c := newCrowd(t)
	var books []*book
	for i := range streams {
		method := []string{"earliest", "earliest", "public", "earliest"}[i%4]
		count, payload := all/streams, size
		switch i {
		case 0:
			method = "own" // a call for each reader
		case 1: // frames that no write takes whole
			count, payload = max(count/20, 5), 60_000
		}
		b := back.log(fmt.Sprintf("%s%d", method, i), uint32(payload), last, method != "own")
		books = append(books, b)
		for range count {
			r := c.add(b, bridge.address, method, rand.New(rand.NewPCG(random.Uint64(), 0)))
			r.fate = cutter(cuts, last*(payload+400))
			if method != "public" {
				r.next = 1
			}
		}
	}
	begin := time.Now()
	c.start(ctx, c.readers...)
	c.publish(back, books, random, last-2)
	// Who begins at the end of a log, or when a call is over, must have a cursor before that.
	eventually(ctx, t, "everybody has a cursor", func() bool { return c.opened() || c.broken() })
	back.appendAll(books, 1)
	// Nothing more comes that would wake up who was forgotten.
	eventually(ctx, t, "everybody has all but the last event", func() bool { return slowest(c.readers) == last-1 || c.broken() })
	back.appendAll(books, 1)
	published := time.Since(begin)
	c.finish()
	t.Logf("published in %v, all done in %v; the bridge has %d MB", published.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), bridge.anonymous()>>20)
	for _, b := range books {
		if err := b.chained(); err != nil {
			t.Error(err)
		}
	}
	if n := c.counts.insideFrame.Load(); n < int64(len(c.readers)) {
		t.Errorf("%d cuts inside a frame for %d clients show little", n, len(c.readers))
	}
	if n := c.counts.left.Load() + c.counts.busy.Load(); n > 0 {
		t.Errorf("the bridge has ended %d connections, and nobody has asked it to", n)
	}
}
