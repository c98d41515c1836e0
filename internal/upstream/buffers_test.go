package upstream_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// strictPool is a pool that knows what it has handed out, and spoils what it gets back: who still reads that gets
// nonsense, and who gives it back again a panic. All of grpc-go's buffers in these tests are from one, the codec's too.
type strictPool struct {
	mu    sync.Mutex
	out   map[*byte]handed // by where it begins
	watch int              // counts the tests that watch
	sizes []int            // of all that was handed out to this one
}

type handed struct{ size, watch int }

var buffers = &strictPool{out: map[*byte]handed{}}

func init() { experimental.SetDefaultBufferPool(buffers) }

func (p *strictPool) Get(size int) *[]byte {
	b := make([]byte, size)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out[unsafe.SliceData(b)] = handed{size, p.watch}
	p.sizes = append(p.sizes, size)
	return &b
}

func (p *strictPool) Put(b *[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := unsafe.SliceData(*b)
	if _, ok := p.out[at]; !ok {
		panic("a buffer is given back that is not out")
	}
	delete(p.out, at)
	clear((*b)[:cap(*b)])
}

// begin lets large count from here on. What other tests had may still come back, or never: grpc-go leaves to the collector
// what nobody read.
func (p *strictPool) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch++
	p.sizes = nil
}

// large counts what is out, and what was handed out, from some size on.
func (p *strictPool) large(size int) (out, made int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.out {
		if h.size >= size && h.watch == p.watch {
			out++
		}
	}
	for _, n := range p.sizes {
		if n >= size {
			made++
		}
	}
	return out, made
}

// dropping is a Resumer that has no cursor and drops every message but the first.
type dropping struct{ seen bool }

func (*dropping) Request() ([]byte, bool) { return nil, false }
func (*dropping) Reopened()               {}
func (*dropping) Forget()                 {}

func (d *dropping) See([]byte) cursor.Verdict {
	if d.seen {
		return cursor.Drop
	}
	d.seen = true
	return cursor.Keep
}

// pooled is a message for which grpc-go takes a buffer from the pool; that of a smaller one is garbage.
var pooled = strings.Repeat("p", 2000)

// However a call ends, every buffer of a message that was received has gone back, once, and not before it was used.
func TestBuffersGoBack(t *testing.T) {
	few := func(c *incoming) error { c.send(pooled, pooled, pooled); return nil }
	held := func(c *incoming) error { c.send(pooled, pooled); return c.hold() }
	call := func(change func(*upstream.Call)) upstream.Call {
		c := upstream.Call{Method: "/test.Service/Watch"}
		change(&c)
		return c
	}
	tests := map[string]struct {
		handle func(c *incoming) error
		call   upstream.Call
		leave  int // with which message the reader leaves; 0 for none
		cancel int // with which message it ends the call's context
		yields int
		want   codes.Code
	}{
		"read to its end":  {few, call(func(*upstream.Call) {}), 0, 0, 3, codes.OK},
		"left":             {held, call(func(*upstream.Call) {}), 2, 0, 2, codes.OK},
		"cancelled":        {held, call(func(*upstream.Call) {}), 0, 2, 2, codes.Canceled},
		"messages dropped": {few, call(func(c *upstream.Call) { c.Resume = &dropping{} }), 0, 0, 1, codes.OK},
		"failed": {
			func(c *incoming) error { c.send(pooled, pooled); return fails(codes.NotFound)(c) }, call(func(*upstream.Call) {}), 0, 0, 2, codes.NotFound,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, u := start(t, test.handle)
				buffers.begin()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				n := 0
				var end error
				for m, err := range u.Stream(ctx, test.call) {
					if err != nil {
						end = err
						break
					}
					n++
					synctest.Wait() // whatever goes on meanwhile must leave the message alone
					if string(m.Data) != pooled {
						t.Errorf("message %d is spoilt: %.20q", n, m.Data)
					}
					if n == test.cancel {
						cancel()
						synctest.Wait()
						if string(m.Data) != pooled {
							t.Errorf("message %d is spoilt by the call's end: %.20q", n, m.Data)
						}
					}
					if n == test.leave {
						break
					}
				}
				synctest.Wait()
				if o := outcome.Of(end); n != test.yields || o.Code() != test.want {
					t.Errorf("%d messages and then %v, want %d and %v", n, o.Err(), test.yields, test.want)
				}
				if out, made := buffers.large(len(pooled)); out != 0 || made == 0 {
					t.Errorf("%d of %d buffers are still out", out, made)
				}
			})
		})
	}
}

// A call that waits for its next message holds on to none.
func TestNoBufferWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error {
			c.send(pooled)
			elapse(time.Second)
			if out, made := buffers.large(len(pooled)); out != 0 || made == 0 {
				t.Errorf("%d of %d buffers are still out", out, made)
			}
			return nil
		})
		buffers.begin()
		if r := read(t.Context(), u, once); len(r.steps) != 1 || r.end.Code() != codes.OK {
			t.Errorf("%d steps, end %v", len(r.steps), r.end.Err())
		}
	})
}

// A message of many buffers is copied once, into one from the pool, which goes back, too.
func TestLargeMessageIsCopiedOnce(t *testing.T) {
	const size = 4<<20 - 100
	text := strings.Repeat("0123456789abcdef", size/16)
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error { c.send(text); return nil })
		buffers.begin()
		n := 0
		for m, err := range u.Stream(t.Context(), upstream.Call{Method: "/test.Service/Watch"}) {
			if err != nil || string(m.Data) != text {
				t.Fatalf("%d bytes, %v", len(m.Data), err)
			}
			n++
		}
		synctest.Wait()
		if _, made := buffers.large(len(text)); n != 1 || made != 1 {
			t.Errorf("%d messages and %d buffers of their size, want one of each", n, made)
		}
		if out, made := buffers.large(1 << 10); out != 0 || made < 200 {
			t.Errorf("%d of %d buffers are still out", out, made)
		}
	})
}
