package upstream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// hold says hello and keeps the call.
func hold(c *incoming) error {
	c.send("hello")
	return c.hold()
}

// holder is a call that is kept until its context ends.
type holder struct {
	hello bool
	end   error
	took  time.Duration // until the first message or the end
}

// holdCalls makes n calls at once and waits until each has its first message or has ended. The calls end with ctx.
func holdCalls(ctx context.Context, u *upstream.Upstream, n int) []*holder {
	holders := make([]*holder, n)
	known := make(chan struct{}, n) // of n, so that no call waits to report
	began := time.Now()
	for i := range holders {
		h := &holder{}
		holders[i] = h
		go func() {
			reported := false
			report := func() {
				if !reported {
					reported = true
					h.took = time.Since(began)
					known <- struct{}{}
				}
			}
			for _, err := range u.Stream(ctx, upstream.Call{Method: "/test.Service/Watch"}) {
				h.hello, h.end = h.hello || err == nil, err
				report()
			}
			report()
		}()
	}
	for range n {
		<-known
	}
	return holders
}

func TestPoolGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, hold, grpc.MaxConcurrentStreams(2))
		ctx, cancel := context.WithCancel(t.Context())
		for i, h := range holdCalls(ctx, u, 7) {
			// 100 ms to find the first connection full, or 200 ms if it was not up yet; the rest are told apart at once.
			if !h.hello || h.took > 500*time.Millisecond {
				t.Errorf("call %d: opened %v after %v, %v", i, h.hello, h.took, h.end)
			}
		}
		if n := b.dials.Load(); n != 4 {
			t.Errorf("%d connections for 7 calls of 2 each, want 4", n)
		}
		// What the pool has learned holds: room is used, and the next call needs no wait to find a full connection full.
		if more := holdCalls(ctx, u, 1); !more[0].hello || more[0].took > 10*time.Millisecond || b.dials.Load() != 4 {
			t.Errorf("the eighth call: opened %v after %v, %d connections", more[0].hello, more[0].took, b.dials.Load())
		}
		if more := holdCalls(ctx, u, 1); !more[0].hello || more[0].took > 10*time.Millisecond || b.dials.Load() != 5 {
			t.Errorf("the ninth call: opened %v after %v, %d connections", more[0].hello, more[0].took, b.dials.Load())
		}
		cancel()
		synctest.Wait()
		if n := b.calls.Load(); n != 9 || b.cancelled.Load() != n {
			t.Errorf("the backend saw %d calls and %d cancellations, want 9 each: a call that waited was sent", n, b.cancelled.Load())
		}
		// Connections that were opened for more calls and have none close; calls begin on the first again.
		elapse(time.Hour)
		if n := b.connections.Load(); n != 1 {
			t.Errorf("%d idle connections, want 1", n)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		holdCalls(ctx, u, 2)
		if n := b.dials.Load(); n != 5 {
			t.Errorf("%d connections were made, want 5 as before", n)
		}
	})
}

func TestPoolIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: hold, options: []grpc.ServerOption{grpc.MaxConcurrentStreams(2)}}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) { o.MaxConnections = 2 })
		ctx, cancel := context.WithCancel(t.Context())
		holdCalls(ctx, u, 4)

		began := time.Now()
		r := read(t.Context(), u, restart)
		if r.end.Class != outcome.Busy || r.end.Sent || !errors.Is(r.end.Err(), upstream.ErrPoolFull) || r.waiting != nil {
			t.Errorf("the fifth call: %v, sent %v, waiting %v", r.end.Err(), r.end.Sent, r.waiting)
		}
		if took := time.Since(began); took > 150*time.Millisecond {
			t.Errorf("it was refused after %v", took)
		}
		if _, _, _, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"}); !errors.Is(err, upstream.ErrPoolFull) {
			t.Errorf("Invoke: %v", err)
		}
		var reply []byte
		err := u.Conn().Invoke(t.Context(), "/test.Service/Get", []byte(nil), &reply, grpc.ForceCodecV2(rawCodec{}))
		if status.Code(err) != codes.Unavailable || !errors.Is(err, upstream.ErrPoolFull) {
			t.Errorf("Conn().Invoke: %v", err)
		}
		if n := b.calls.Load(); n != 4 || b.dials.Load() != 2 {
			t.Errorf("%d calls, %d connections; want 4, 2", n, b.dials.Load())
		}
		// A place that is given back is found.
		cancel()
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		for _, h := range holdCalls(ctx, u, 4) {
			if !h.hello {
				t.Errorf("after the others ended: %v", h.end)
			}
		}
	})
}

// A call that is held already waits for room instead of being refused.
func TestPoolIsFullForALostCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{options: []grpc.ServerOption{grpc.MaxConcurrentStreams(1)}}
		lost := make(chan struct{})
		b.handle = func(c *incoming) error {
			c.send("hello")
			if c.number == 1 {
				<-lost
				return fails(codes.Unavailable)(c)
			}
			return c.hold()
		}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) { o.MaxConnections = 1 })
		other, release := context.WithCancel(t.Context())
		c := restart
		c.Method = "/test.Service/Watch"
		var steps int
		for m, err := range u.Stream(t.Context(), c) {
			if err != nil {
				t.Fatalf("the held call ended: %v", err)
			}
			steps++
			if m.Restarted != nil {
				break
			}
			close(lost)
			synctest.Wait()
			holdCalls(other, u, 1) // takes the only stream
			time.AfterFunc(time.Minute, release)
		}
		if steps != 2 {
			t.Errorf("%d steps", steps)
		}
		release()
	})
}

// The limit is learned anew from a backend that was replaced.
func TestPoolForgetsOldLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: hold, options: []grpc.ServerOption{grpc.MaxConcurrentStreams(2)}}
		b.up()
		defer func() { b.down() }()
		u := b.connect(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		holdCalls(ctx, u, 5)
		cancel()
		synctest.Wait()
		b.down()
		b.options = nil
		b.up()
		elapse(5 * time.Second) // the connections come back
		before := b.dials.Load()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		for i, h := range holdCalls(ctx, u, 50) {
			if !h.hello {
				t.Errorf("call %d: %v", i, h.end)
			}
		}
		if n := b.dials.Load(); n != before {
			t.Errorf("%d more connections for a backend without a limit", n-before)
		}
	})
}

// Waiting for a connection is not waiting for a stream: the pool does not grow by it.
func TestPoolDoesNotGrowWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: hold}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) {
			o.DialOptions = []grpc.DialOption{grpc.WithContextDialer(slowly(b.dial, 3*time.Second))}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i, h := range holdCalls(ctx, u, 10) {
			if !h.hello || h.took < 3*time.Second || h.took > 3500*time.Millisecond {
				t.Errorf("call %d: opened %v after %v, %v", i, h.hello, h.took, h.end)
			}
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// A call that finds a connection full just when it has come up gets its 100 ms from then.
func TestWaitIsCountedFromTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{options: []grpc.ServerOption{grpc.MaxConcurrentStreams(1)}}
		b.handle = func(c *incoming) error {
			elapse(90 * time.Millisecond)
			c.send("hello")
			return nil
		}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) {
			o.DialOptions = []grpc.DialOption{grpc.WithContextDialer(slowly(b.dial, 2950*time.Millisecond))}
		})
		for i, h := range holdCalls(t.Context(), u, 2) {
			if !h.hello {
				t.Errorf("call %d: %v", i, h.end)
			}
		}
		if n := b.dials.Load(); n != 1 {
			t.Errorf("%d connections for calls that waited 90 ms, want 1", n)
		}
	})
}

// slowCredentials delay each call on its way to a stream, as a machine does that is busy.
type slowCredentials struct{ by time.Duration }

func (c slowCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	<-time.After(c.by)
	return nil, nil
}

func (slowCredentials) RequireTransportSecurity() bool { return false }

// Calls that are slow on their way are no sign of a full connection where it has no stream, or had more.
func TestSlowMachineIsNotAFullConnection(t *testing.T) {
	for by, want := range map[time.Duration]bool{
		950 * time.Millisecond:  false,
		1050 * time.Millisecond: true, // nobody waits for ever: some servers take no stream at all
	} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{handle: hold}
				b.up()
				defer b.down()
				u := b.connect(t, func(o *upstream.Options) {
					o.DialOptions = append(o.DialOptions, grpc.WithPerRPCCredentials(slowCredentials{by}))
				})
				elapse(time.Second)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if full := errors.Is(holdCalls(ctx, u, 1)[0].end, upstream.ErrPoolFull); full != want || b.dials.Load() != 1 {
					t.Errorf("full %v, %d connections; want %v, 1", full, b.dials.Load(), want)
				}
			})
		})
	}
}

func TestRoomThatWasThereBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: hold}
		b.up()
		defer b.down()
		slow := &slowCredentials{}
		u := b.connect(t, func(o *upstream.Options) {
			o.DialOptions = append(o.DialOptions, grpc.WithPerRPCCredentials(slow))
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		holdCalls(ctx, u, 2)
		ended, end := context.WithCancel(t.Context())
		holdCalls(ended, u, 1)
		end()
		synctest.Wait()
		slow.by = 150 * time.Millisecond
		if h := holdCalls(ctx, u, 1)[0]; !h.hello || b.dials.Load() != 1 {
			t.Errorf("opened %v, %d connections, want 1", h.hello, b.dials.Load())
		}
		// As many as ever: that may be all it takes.
		if h := holdCalls(ctx, u, 1)[0]; !h.hello || b.dials.Load() != 2 {
			t.Errorf("opened %v, %d connections, want 2", h.hello, b.dials.Load())
		}
	})
}
