package upstream_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestStreamToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: func(c *incoming) error {
			md := incomingMetadata(c)
			c.send(c.request, fmt.Sprint(md["x-user"], md["authorization"]), "", strings.Repeat("x", 300<<10))
			return nil
		}}
		b.up()
		defer b.down()
		u := b.connect(t, func(o *upstream.Options) { o.Metadata = metadata.MD{"Authorization": {"the bridge"}} })
		r := read(t.Context(), u, upstream.Call{
			Request:  []byte("hello"),
			Metadata: upstream.FixedMetadata(metadata.MD{"X-User": {"ann"}, "authorization": {"a client"}}),
		})
		want := []string{"hello", "[ann] [the bridge]", "", strings.Repeat("x", 300<<10)}
		if diff := cmp.Diff(want, r.steps); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if r.end.Class != outcome.End || r.opened != 1 || r.waiting != nil {
			t.Errorf("end %v, opened %d times, waiting %v; want an end, once, never", r.end, r.opened, r.waiting)
		}
	})
}

func TestCallWithoutMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(*incoming) error { return nil })
		if r := read(t.Context(), u, restart); r.end.Class != outcome.End || len(r.steps) != 0 || b.calls.Load() != 1 {
			t.Errorf("end %v, steps %v, %d calls; want a clean end, none, 1", r.end, r.steps, b.calls.Load())
		}
	})
}

// Codes in trailers that are final end the call at once, with the backend's own words, also where it may be repeated.
func TestPermanentCodes(t *testing.T) {
	for _, code := range []codes.Code{
		codes.Canceled, codes.Unknown, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.Internal, codes.DataLoss, codes.Unauthenticated,
	} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, messages := range []int{0, 2} {
					b, u := start(t, func(c *incoming) error {
						c.send([]string{"a", "b"}[:messages]...)
						return fails(code)(c)
					})
					r := read(t.Context(), u, restart)
					if r.end.Class != outcome.Permanent || r.end.Code() != code || r.end.Status.Message() != "said by the backend" {
						t.Errorf("after %d messages: %v", messages, r.end)
					}
					if n := b.calls.Load(); n != 1 || len(r.steps) != messages || r.waiting != nil {
						t.Errorf("after %d messages: %d calls, steps %v, waiting %v", messages, n, r.steps, r.waiting)
					}
				}
			})
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	for name, headers := range map[string]bool{"silent from the start": false, "silent after headers": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, func(c *incoming) error {
					if headers {
						_ = c.SendHeader(nil)
					}
					return c.hold()
				})
				c := once
				c.IdleTimeout = 30 * time.Second
				began := time.Now()
				r := read(t.Context(), u, c)
				if took := time.Since(began); took < c.IdleTimeout || took > c.IdleTimeout+time.Second {
					t.Errorf("ended after %v", took)
				}
				if r.end.Class != outcome.Broken || r.end.Code() != codes.Unavailable || !r.end.Sent || b.calls.Load() != 1 {
					t.Errorf("end %v, sent %v, %d calls", r.end.Err(), r.end.Sent, b.calls.Load())
				}
				synctest.Wait()
				if n := b.cancelled.Load(); n != 1 {
					t.Errorf("the backend saw %d cancellations, want 1", n)
				}
			})
		})
	}
}

// Messages in time, and a reader that takes its time, are not idleness.
func TestNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error {
			for range 5 {
				elapse(9 * time.Second)
				c.send("x")
			}
			return nil
		})
		n := 0
		for m, err := range u.Stream(t.Context(), upstream.Call{Method: "/test.Service/Watch", IdleTimeout: 10 * time.Second}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			m.Hold()
			elapse(time.Hour)
		}
		if n != 5 {
			t.Errorf("%d messages, want 5", n)
		}
	})
}

// The time begins with the last message, or with the reader's asking for the next one, however busy it was before.
func TestIdleAfterMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error {
			for _, pause := range []time.Duration{time.Millisecond, 9 * time.Second, 3 * time.Second, 0} {
				elapse(pause)
				c.send("x")
			}
			return c.hold()
		})
		for _, busy := range []time.Duration{0, 4 * time.Second, time.Hour} {
			var asked time.Time
			n := 0
			for m, err := range u.Stream(t.Context(), upstream.Call{Method: "/test.Service/Watch", IdleTimeout: 10 * time.Second}) {
				if err != nil {
					break
				}
				if n++; n == 4 {
					m.Hold()
					elapse(busy)
				}
				asked = time.Now()
			}
			if took := time.Since(asked); n != 4 || took < 10*time.Second || took > 10*time.Second+time.Millisecond {
				t.Errorf("busy for %v: ended %v after the reader asked for message %d, want 10s after it asked for the fifth", busy, took, n+1)
			}
		}
	})
}

func TestContextEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error { c.send("a"); return c.hold() })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		r := read(ctx, u, restart)
		if r.end.Class != outcome.Permanent || r.end.Code() != codes.Canceled {
			t.Errorf("end %v, want a permanent CANCELLED", r.end.Err())
		}
		synctest.Wait()
		if b.calls.Load() != 1 || b.cancelled.Load() != 1 {
			t.Errorf("%d calls, %d cancelled; want 1, 1", b.calls.Load(), b.cancelled.Load())
		}
	})
}

func TestContextEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		u := b.connect(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		began := time.Now()
		r := read(ctx, u, restart)
		if time.Since(began) != 50*time.Second || r.end.Code() != codes.DeadlineExceeded {
			t.Errorf("end %v after %v", r.end.Err(), time.Since(began))
		}
	})
}

// A reader that leaves cancels the call and leaves nothing behind; the bubble and goleak see to the latter.
func TestLeavingCancelsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error {
			for range 1000 {
				c.send(strings.Repeat("x", 1<<10)) // more than the window holds
			}
			return c.hold()
		})
		for leaveAfter := 1; leaveAfter <= 3; leaveAfter++ {
			n := 0
			for _, err := range u.Stream(t.Context(), upstream.Call{Method: "/test.Service/Watch"}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == leaveAfter {
					break
				}
			}
			synctest.Wait()
			if got := b.cancelled.Load(); got != int32(leaveAfter) {
				t.Errorf("%d calls cancelled, want %d", got, leaveAfter)
			}
		}
	})
}

func TestLeavingAtARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error {
			c.send("a")
			if c.number == 1 {
				return fails(codes.Unavailable)(c)
			}
			return c.hold()
		})
		c := restart
		c.Method = "/test.Service/Watch"
		for m, err := range u.Stream(t.Context(), c) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Restarted != nil {
				break
			}
		}
		synctest.Wait()
		if b.calls.Load() != 2 || b.cancelled.Load() != 1 {
			t.Errorf("%d calls, %d cancelled; want 2, 1", b.calls.Load(), b.cancelled.Load())
		}
	})
}

func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error { c.send("a"); return c.hold() })
		down := (&backend{}).connect(t, nil)
		for name, u := range map[string]*upstream.Upstream{"open": u, "pausing": down} {
			time.AfterFunc(time.Minute, func() { _ = u.Close() })
			r := read(t.Context(), u, restart)
			if r.end.Class != outcome.Broken || r.end.Code() != codes.Unavailable {
				t.Errorf("%s: end %v", name, r.end.Err())
			}
			if r := read(t.Context(), u, restart); r.end.Code() != codes.Unavailable || r.end.Sent || r.waiting != nil {
				t.Errorf("%s: a call after Close: %v", name, r.end.Err())
			}
		}
	})
}

// A reader that does not read stops the backend: what lies in between is bounded by the fixed window and the server's
// own buffers.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		_, u := start(t, func(c *incoming) error {
			for c.Context().Err() == nil {
				c.send(strings.Repeat("x", 1<<10))
				sent.Add(1 << 10)
			}
			return c.Context().Err()
		})
		for _, err := range u.Stream(t.Context(), upstream.Call{Method: "/test.Service/Watch"}) {
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			elapse(time.Minute)
			if n := sent.Load(); n < 128<<10 || n > 256<<10 {
				t.Errorf("the backend could send %d KiB to a reader that does not read", n>>10)
			}
			break
		}
	})
}
