package upstream_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// What the documentation of Upstream promises.
const (
	reopenBurst = 200
	closeAfter  = 10
	// In a minute there are at most this many probes: the shortest pauses are 0.5, 1, 2, 4 s, and then 5 s each.
	probesAMinute = 4 + 11
	// A probe's longest pause, and the spread of 2,000 calls.
	recovery = 10*time.Second + 3*time.Second
)

// moody is a backend that can be told to fail. Otherwise it says hello (unless it is quiet) and keeps calls until it is
// to lose them.
type moody struct {
	*backend
	failing, quiet atomic.Bool
	open           atomic.Int32 // calls that are kept

	mu   sync.Mutex
	lose chan struct{}
}

func newMoody(options ...grpc.ServerOption) *moody {
	m := &moody{backend: &backend{options: options}, lose: make(chan struct{})}
	m.handle = func(c *incoming) error {
		if m.failing.Load() {
			return fails(codes.Unavailable)(c)
		}
		m.mu.Lock()
		lose := m.lose
		m.mu.Unlock()
		m.open.Add(1)
		defer m.open.Add(-1)
		if !m.quiet.Load() {
			c.send("hello")
		}
		select {
		case <-lose:
			return fails(codes.Unavailable)(c)
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
	m.up()
	return m
}

// fail loses all calls and fails new ones.
func (m *moody) fail() {
	m.failing.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.lose)
	m.lose = make(chan struct{})
}

// crowd makes calls that may be repeated until ctx ends. The returned function waits for their ends.
func crowd(ctx context.Context, t *testing.T, u *upstream.Upstream, n int) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if r := read(ctx, u, restart); r.end.Code() != codes.Canceled {
				t.Errorf("a call ended: %v", r.end.Err())
			}
		})
	}
	return wg.Wait
}

// A backend that fails gets few openings however many calls were lost, and all calls back soon after it is well again.
func TestFailingBackendIsNotStormed(t *testing.T) {
	for name, quiet := range map[string]bool{"it answers": false, "it is quiet": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls = 2000
				m := newMoody()
				defer m.down()
				m.quiet.Store(quiet)
				u := m.connect(t, nil)
				ctx, cancel := context.WithCancel(t.Context())
				wait := crowd(ctx, t, u, calls)
				elapse(time.Second) // nothing slows first openings
				if n := m.open.Load(); n != calls {
					t.Fatalf("%d calls are open, want %d", n, calls)
				}
				elapse(time.Hour)

				before := m.calls.Load()
				m.fail()
				elapse(time.Minute)
				asked := m.calls.Load() - before
				if most := int32(reopenBurst + probesAMinute); asked > most || asked < closeAfter {
					t.Errorf("the failing backend was asked %d times, want at most %d", asked, most)
				}

				before = m.calls.Load()
				m.failing.Store(false)
				back := recovery
				if quiet {
					// 5 s until the probe counts as open, then as many as may be on their way each second.
					back += 5*time.Second + calls/reopenBurst*time.Second
				}
				elapse(back)
				if n := m.open.Load(); n != calls || m.calls.Load()-before != calls {
					t.Errorf("%d calls are open after %v, of %d openings; want %d", n, back, m.calls.Load()-before, calls)
				}
				cancel()
				wait()
			})
		})
	}
}

// A backend that fails one method in two, or answers and breaks off, closes no gate; its lost calls come back at the
// budget's pace.
func TestHalfFailingBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 1000
		b, u := start(t, nil)
		b.handle = func(c *incoming) error {
			if c.number%5 == 0 {
				_ = c.SendHeader(nil)
			}
			return fails(codes.Unavailable)(c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() { read(ctx, u, restart) })
		}
		wg.Wait()
		// Each failure costs a slot, which comes back at 20 a second; one opening in five is free.
		if n, most := b.calls.Load(), int32(calls+(reopenBurst+20*60)*5/4); n > most || n < most/2 {
			t.Errorf("%d openings in a minute, want at most %d and about so many", n, most)
		}
	})
}

// closeGate makes calls that fail until their method's gate is closed.
func closeGate(t *testing.T, m *moody, u *upstream.Upstream) {
	t.Helper()
	m.failing.Store(true)
	for range closeAfter {
		read(t.Context(), u, upstream.Call{})
	}
}

func TestNewCallsWaitAtAClosedGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody()
		defer m.down()
		u := m.connect(t, nil)
		closeGate(t, m, u)

		// A call that may not wait ends at once, as a unary call does.
		began, before := time.Now(), m.calls.Load()
		if before != closeAfter {
			t.Fatalf("%d calls, want %d", before, closeAfter)
		}
		r := read(t.Context(), u, upstream.Call{})
		_, _, _, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Watch"})
		for _, o := range []outcome.Outcome{r.end, outcome.Of(err)} {
			if o.Code() != codes.Unavailable || o.Sent || o.RetryDelay < time.Second || o.RetryDelay > 10*time.Second {
				t.Errorf("got %v, sent %v, to be tried in %v", o.Err(), o.Sent, o.RetryDelay)
			}
		}
		if time.Since(began) != 0 || m.calls.Load() != before || len(r.waiting) != 0 {
			t.Errorf("%v later; %d calls, pauses %v", time.Since(began), m.calls.Load()-before, r.waiting)
		}

		// Another method of the backend goes on: only this one is known to fail.
		m.failing.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if r := read(ctx, u, upstream.Call{Method: "/test.Service/Other"}); len(r.steps) != 1 {
			t.Errorf("another method: %v", r.end.Err())
		}
		elapse(100 * time.Millisecond)

		// A call that may wait is told so, and is opened in its turn.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r = read(ctx, u, once)
		if len(r.steps) != 1 || len(r.waiting) != 1 || r.opened != 1 {
			t.Fatalf("steps %q, pauses %v, opened %d times", r.steps, r.waiting, r.opened)
		}
		if w := r.waiting[0]; w.Code != codes.Unavailable || w.Attempt != 1 || w.RetryIn <= 0 || w.RetryIn > time.Second {
			t.Errorf("waiting: %+v", w)
		}
		// The gate is open.
		if r := read(ctx, u, upstream.Call{}); r.end.Code() != codes.DeadlineExceeded {
			t.Errorf("afterwards: %v", r.end.Err())
		}
	})
}

// While a gate is closed there is one probe at a time, and one that is given up gives its turn to another.
func TestOneProbeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody()
		defer m.down()
		u := m.connect(t, nil)
		closeGate(t, m, u)
		m.failing.Store(false)
		m.quiet.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		wait := crowd(ctx, t, u, 100)
		elapse(2 * time.Second) // the pause is 1 s at most
		if n := m.open.Load(); n != 1 {
			t.Errorf("%d probes at a time", n)
		}
		cancel()
		wait()
		ctx, cancel = context.WithCancel(t.Context())
		wait = crowd(ctx, t, u, 100)
		synctest.Wait()
		if n := m.open.Load(); n != 1 {
			t.Errorf("%d probes after the first was given up", n)
		}
		elapse(5*time.Second + 1100*time.Millisecond) // it counts as open; the others follow
		if n := m.open.Load(); n != 100 {
			t.Errorf("%d calls are open, want 100", n)
		}
		cancel()
		wait()
	})
}

// A connection that comes up is a reason to try at once, whatever the pause had grown to.
func TestProbeWhenConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody()
		defer func() { m.down() }()
		u := m.connect(t, nil)
		closeGate(t, m, u)
		ctx, cancel := context.WithCancel(t.Context())
		wait := crowd(ctx, t, u, 50)
		elapse(time.Minute) // pauses are 5 to 10 s now
		m.down()
		m.failing.Store(false)
		m.up()
		elapse(time.Second) // 200 ms, and jitter, until it is dialled
		if n := m.open.Load(); n == 0 {
			t.Error("no probe though the backend is back")
		}
		elapse(1100 * time.Millisecond)
		if n := m.open.Load(); n != 50 {
			t.Errorf("%d calls are back, want 50", n)
		}
		cancel()
		wait()
	})
}

// A call in a pause of its own goes on, too, when another has been answered.
func TestGateEndsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 10 { // in each of them some call is likely to be in a long pause
			m := newMoody()
			u := m.connect(t, nil)
			closeGate(t, m, u)
			ctx, cancel := context.WithCancel(t.Context())
			wait := crowd(ctx, t, u, 2) // so few that each is the probe often, and its pauses grow
			elapse(4 * time.Minute)
			m.failing.Store(false)
			for m.open.Load() == 0 {
				elapse(100 * time.Millisecond)
			}
			elapse(1100 * time.Millisecond)
			if n := m.open.Load(); n != 2 {
				t.Errorf("%d calls are back, want 2", n)
			}
			cancel()
			wait()
			m.down()
		}
	})
}

// Time at a closed gate counts against retry_for, and a call may leave it when it likes.
func TestLeavingAClosedGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody()
		defer m.down()
		u := m.connect(t, nil)
		closeGate(t, m, u)
		for name, c := range map[string]struct {
			call upstream.Call
			ctx  time.Duration
			took time.Duration
			want codes.Code
		}{
			"retry_for": {upstream.Call{Restart: true, RetryFor: 90 * time.Second}, time.Hour, 90 * time.Second, codes.Unavailable},
			"context":   {restart, 7 * time.Second, 7 * time.Second, codes.DeadlineExceeded},
		} {
			var wg sync.WaitGroup
			began := time.Now()
			for range 30 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
					defer cancel()
					r := read(ctx, u, c.call)
					if took := time.Since(began); took != c.took || r.end.Code() != c.want {
						t.Errorf("%s: %v after %v", name, r.end.Err(), took)
					}
				})
			}
			wg.Wait()
		}
		// Many, of which most are in no pause of their own.
		time.AfterFunc(time.Minute, func() { _ = u.Close() })
		var wg sync.WaitGroup
		began := time.Now()
		for range 30 {
			wg.Go(func() {
				if r := read(t.Context(), u, restart); r.end.Code() != codes.Unavailable || time.Since(began) != time.Minute {
					t.Errorf("Close: %v after %v", r.end.Err(), time.Since(began))
				}
			})
		}
		wg.Wait()
	})
}

// What does not say that a method fails closes no gate.
func TestGateStaysOpen(t *testing.T) {
	for name, b := range map[string]*backend{
		"permanent errors":   {handle: fails(codes.NotFound)},
		"a busy backend":     {handle: fails(codes.ResourceExhausted)},
		"answers first":      {handle: func(c *incoming) error { c.send("a"); return fails(codes.Unavailable)(c) }},
		"lost after a while": {handle: func(c *incoming) error { elapse(6 * time.Second); return fails(codes.Unavailable)(c) }},
		"one success in ten": {handle: func(c *incoming) error {
			if c.number%closeAfter == 0 {
				return nil
			}
			return fails(codes.Unavailable)(c)
		}},
		"connections that end": {handle: func(c *incoming) error { return c.hold() }, options: []grpc.ServerOption{
			grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 6 * time.Second, MaxConnectionAgeGrace: time.Second}),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b.up()
				defer b.down()
				u := b.connect(t, nil)
				for range 3 * closeAfter {
					read(t.Context(), u, upstream.Call{})
				}
				if n := b.calls.Load(); n != 3*closeAfter {
					t.Errorf("%d calls reached the backend, want %d", n, 3*closeAfter)
				}
			})
		})
	}
}
