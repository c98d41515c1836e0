package upstream_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// A call that may not run twice is sent once, however it is lost.
func TestEndNeverSendsTwice(t *testing.T) {
	for name, lose := range map[string]func(b *backend, c *incoming) error{
		"UNAVAILABLE":             func(_ *backend, c *incoming) error { return fails(codes.Unavailable)(c) },
		"RESOURCE_EXHAUSTED":      func(_ *backend, c *incoming) error { return fails(codes.ResourceExhausted)(c) },
		"ABORTED after a message": func(_ *backend, c *incoming) error { c.send("a"); return fails(codes.Aborted)(c) },
		"connection lost":         func(b *backend, c *incoming) error { go b.down(); return c.hold() },
		"connection lost after a message": func(b *backend, c *incoming) error {
			c.send("a")
			elapse(time.Second)
			go b.down()
			return c.hold()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				b.handle = func(c *incoming) error { return lose(b, c) }
				b.up()
				defer b.down()
				u := b.connect(t, nil)
				r := read(t.Context(), u, once)
				if !r.end.Class.Retryable() || !r.end.Sent || r.waiting != nil {
					t.Errorf("end %v, sent %v, waiting %v", r.end.Err(), r.end.Sent, r.waiting)
				}
				if n := b.calls.Load(); n != 1 {
					t.Errorf("the backend saw %d calls, want 1", n)
				}
			})
		})
	}
}

// What never left the bridge may be sent later, whatever the call's rule; the reader is told of every failed try.
func TestHeldUntilTheBackendIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := range 20 {
			b := &backend{handle: func(c *incoming) error { c.send("a"); return nil }}
			u := b.connect(t, nil)
			away := 60*time.Second + time.Duration(i)*3700*time.Millisecond
			began := time.Now()
			time.AfterFunc(away, b.up)
			wg.Go(func() {
				defer b.down()
				r := read(t.Context(), u, once)
				if diff := cmp.Diff([]string{"a"}, r.steps); diff != "" || r.end.Class != outcome.End {
					t.Errorf("end %v, steps (-want +got)\n%s", r.end.Err(), diff)
				}
				if n := b.calls.Load(); n != 1 || r.opened != 1 {
					t.Errorf("%d calls, opened %d times; want 1, once", n, r.opened)
				}
				// Dialled again within 2.4 s (2 s and grpc-go's jitter), then up to a second of spread.
				if late := time.Since(began) - away; late > 4*time.Second {
					t.Errorf("went on %v after the backend's return", late)
				}
				checkWaiting(t, r.waiting)
			})
		}
	})
}

// checkWaiting checks numbers and bounds of the pauses of a call that only ever fails with UNAVAILABLE.
func checkWaiting(t *testing.T, waiting []upstream.Waiting) {
	t.Helper()
	bound := 200 * time.Millisecond
	for i, w := range waiting {
		if w.Code != codes.Unavailable || w.Attempt != i+1 || w.RetryIn <= 0 || w.RetryIn > bound {
			t.Errorf("pause %d: %+v, want UNAVAILABLE, its number, at most %v", i+1, w, bound)
		}
		bound = min(2*bound, 15*time.Second)
	}
	// They do grow: that eight pauses all fall into the first one's bound by chance happens once in 2^28 runs.
	longest := time.Duration(0)
	for _, w := range waiting[:min(8, len(waiting))] {
		longest = max(longest, w.RetryIn)
	}
	if len(waiting) < 8 || longest <= 200*time.Millisecond {
		t.Errorf("%d pauses, of which the first 8 last at most %v", len(waiting), longest)
	}
}

func TestRetryForEndsIt(t *testing.T) {
	for _, retryFor := range []time.Duration{0, 10 * time.Second, 5 * time.Minute} {
		t.Run(retryFor.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				u := b.connect(t, nil)
				began := time.Now()
				r := read(t.Context(), u, upstream.Call{Restart: true, RetryFor: retryFor})
				if took := time.Since(began); took < retryFor || took > retryFor+time.Second {
					t.Errorf("ended after %v, want %v", took, retryFor)
				}
				if r.end.Class != outcome.Broken || r.end.Code() != codes.Unavailable || r.end.Sent {
					t.Errorf("end %v, sent %v", r.end.Err(), r.end.Sent)
				}
				if text := r.end.Status.Message(); strings.Contains(text, "10.1.2.3") || !strings.Contains(r.end.Cause.Error(), "10.1.2.3") {
					t.Errorf("clients read %q, the log has %v", text, r.end.Cause)
				}
				if (retryFor == 0) != (len(r.waiting) == 0) {
					t.Errorf("%d pauses", len(r.waiting))
				}
			})
		})
	}
}

// Time for which the call is open does not count against retry_for: a quiet stream is not a lost one.
// Nor is one whose backend does not even send headers.
func TestRetryForCountsOnlyLostTime(t *testing.T) {
	for name, opened := range map[string]int{"quiet": 4, "without headers": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, func(c *incoming) error {
					if opened == 4 {
						_ = c.SendHeader(nil)
					}
					elapse(time.Hour)
					if c.number < 4 {
						return fails(codes.Unavailable)(c)
					}
					c.send("a")
					return nil
				})
				r := read(t.Context(), u, upstream.Call{Restart: true, RetryFor: 10 * time.Second})
				if diff := cmp.Diff([]string{"a"}, r.steps); diff != "" || b.calls.Load() != 4 || r.opened != opened {
					t.Errorf("end %v, %d calls, opened %d times, steps (-want +got)\n%s", r.end.Err(), b.calls.Load(), r.opened, diff)
				}
			})
		})
	}
}

func TestFiveFailures(t *testing.T) {
	for code, want := range map[codes.Code]outcome.Class{
		codes.ResourceExhausted: outcome.Busy, codes.Aborted: outcome.Busy, codes.DeadlineExceeded: outcome.Busy,
	} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, fails(code))
				r := read(t.Context(), u, restart)
				if n := b.calls.Load(); n != 5 || len(r.waiting) != 4 {
					t.Errorf("%d calls, %d pauses; want 5, 4", n, len(r.waiting))
				}
				if r.end.Class != want || r.end.Code() != code {
					t.Errorf("end %v", r.end.Err())
				}
			})
		})
	}
}

// UNAVAILABLE is tried for as long as retry_for allows.
func TestUnavailableIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error {
			if c.number <= 12 {
				return fails(codes.Unavailable)(c)
			}
			c.send("a")
			return nil
		})
		r := read(t.Context(), u, restart)
		if b.calls.Load() != 13 || r.end.Class != outcome.End {
			t.Errorf("%d calls, end %v; want 13 and a clean end", b.calls.Load(), r.end.Err())
		}
		checkWaiting(t, r.waiting)
	})
}

func TestRetryInfoIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const asked = 40 * time.Second
		st, err := status.New(codes.ResourceExhausted, "").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
		if err != nil {
			t.Fatal(err)
		}
		var times []time.Time
		_, u := start(t, func(c *incoming) error {
			times = append(times, time.Now())
			if c.number == 1 {
				return st.Err()
			}
			return nil
		})
		r := read(t.Context(), u, restart)
		if len(times) != 2 || r.end.Class != outcome.End {
			t.Fatalf("%d calls, end %v", len(times), r.end.Err())
		}
		if gap := times[1].Sub(times[0]); gap < asked || gap > asked*5/4 {
			t.Errorf("tried again after %v, asked for %v", gap, asked)
		}
	})
}

// A wish that goes beyond retry_for cannot be honoured: the call ends at once.
func TestRetryInfoBeyondTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := status.New(codes.Unavailable, "").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		b, u := start(t, func(*incoming) error { return st.Err() })
		began := time.Now()
		r := read(t.Context(), u, upstream.Call{Restart: true, RetryFor: 30 * time.Second})
		if time.Since(began) > time.Second || b.calls.Load() != 1 || r.end.RetryDelay != time.Minute {
			t.Errorf("ended after %v and %d calls, delay %v", time.Since(began), b.calls.Load(), r.end.RetryDelay)
		}
	})
}

// TestQuietStreamGoesOn: a stream that has nothing to say is open for an hour each time, until somebody ends it who ends all
// streams after an hour. It is never away for longer than a pause, and so never for good.
func TestQuietStreamGoesOn(t *testing.T) {
	for _, code := range []codes.Code{codes.DeadlineExceeded, codes.Unavailable} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const hours = 200
				b := &backend{handle: func(c *incoming) error {
					_ = c.SendHeader(nil)
					if c.number > hours {
						c.send("a")
						return nil
					}
					elapse(time.Hour)
					return fails(code)(c)
				}}
				b.up()
				defer b.down()
				r := read(t.Context(), b.connect(t, nil), restart)
				if r.end.Class != outcome.End {
					t.Errorf("ended for good after %d hours, all of them open: %v", b.calls.Load(), r.end.Err())
				}
			})
		})
	}
}

// TestFiveInARow: failures with anything but UNAVAILABLE are in a row only as long as none is UNAVAILABLE.
func TestFiveInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{handle: func(c *incoming) error {
			switch {
			case c.number > 12:
				c.send("a")
				return nil
			case c.number%2 == 1:
				return fails(codes.Aborted)(c)
			default:
				return fails(codes.Unavailable)(c)
			}
		}}
		b.up()
		defer b.down()
		r := read(t.Context(), b.connect(t, nil), restart)
		if r.end.Class != outcome.End {
			t.Errorf("ended after %d calls: %v", b.calls.Load(), r.end.Err())
		}
	})
}
