package upstream_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
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
func TestRetryForCountsOnlyLostTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error {
			if err := c.SendHeader(nil); err != nil {
				return err
			}
			elapse(time.Hour)
			if c.number < 4 {
				return fails(codes.Unavailable)(c)
			}
			c.send("a")
			return nil
		})
		r := read(t.Context(), u, upstream.Call{Restart: true, RetryFor: 10 * time.Second})
		if diff := cmp.Diff([]string{"a"}, r.steps); diff != "" || b.calls.Load() != 4 || r.opened != 4 {
			t.Errorf("end %v, %d calls, opened %d times, steps (-want +got)\n%s", r.end.Err(), b.calls.Load(), r.opened, diff)
		}
	})
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

func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(c *incoming) error
		want   []string
		calls  int32
	}{
		{
			"before the first message: nothing to tell",
			func(c *incoming) error {
				if c.number == 1 {
					return fails(codes.Unavailable)(c)
				}
				c.send("a", "b")
				return nil
			},
			[]string{"a", "b"},
			2,
		},
		{
			"after messages",
			func(c *incoming) error {
				c.send("a", "b")
				if c.number == 1 {
					return fails(codes.Aborted)(c)
				}
				c.send("c")
				return nil
			},
			[]string{"a", "b", "restarted: ABORTED", "a", "b", "c"},
			2,
		},
		{
			"several failures, one restart",
			func(c *incoming) error {
				if c.number == 1 {
					c.send("a")
				}
				if c.number < 4 {
					return fails(codes.Unavailable)(c)
				}
				c.send("b")
				return nil
			},
			[]string{"a", "restarted: UNAVAILABLE", "b"},
			4,
		},
		{
			"to a clean end without messages",
			func(c *incoming) error {
				if c.number == 1 {
					c.send("a")
					return fails(codes.Unavailable)(c)
				}
				return nil
			},
			[]string{"a", "restarted: UNAVAILABLE"},
			2,
		},
		{
			"to a permanent error: only the error is told",
			func(c *incoming) error {
				if c.number == 1 {
					c.send("a")
					return fails(codes.Unavailable)(c)
				}
				return fails(codes.NotFound)(c)
			},
			[]string{"a"},
			2,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, c.handle)
				r := read(t.Context(), u, restart)
				if diff := cmp.Diff(c.want, r.steps); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if n := b.calls.Load(); n != c.calls {
					t.Errorf("%d calls, want %d", n, c.calls)
				}
			})
		})
	}
}

// The account starts over at new messages only: a call that dies at the same message every time must not be repeated
// for ever at full speed.
func TestOldMessagesAreNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, u := start(t, func(c *incoming) error {
			c.send("a", "b")
			return fails(codes.Aborted)(c)
		})
		r := read(t.Context(), u, restart)
		if n := b.calls.Load(); n != 5 {
			t.Errorf("%d calls, want 5", n)
		}
		for i, w := range r.waiting {
			if w.Attempt != i+1 {
				t.Errorf("pause %d has the number %d", i+1, w.Attempt)
			}
		}
		if r.end.Code() != codes.Aborted || len(r.waiting) != 4 {
			t.Errorf("end %v after %d pauses, want ABORTED after 4", r.end.Err(), len(r.waiting))
		}
	})
}

func TestNewMessagesAreProgress(t *testing.T) {
	for name, handle := range map[string]func(c *incoming) error{
		"more than last time": func(c *incoming) error {
			for range c.number {
				c.send("x")
			}
			return nil
		},
		"after a minute": func(c *incoming) error {
			c.send("x")
			elapse(2 * time.Minute)
			c.send("x")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, func(c *incoming) error {
					_ = handle(c)
					if c.number < 20 {
						return fails(codes.Aborted)(c)
					}
					return nil
				})
				r := read(t.Context(), u, restart)
				if b.calls.Load() != 20 || r.end.Class != outcome.End {
					t.Errorf("%d calls, end %v", b.calls.Load(), r.end.Err())
				}
				for _, w := range r.waiting {
					if w.Attempt != 1 || w.RetryIn > 200*time.Millisecond {
						t.Errorf("%+v, want the first pause each time", w)
					}
				}
			})
		})
	}
}

// Each opening asks for the metadata anew.
func TestMetadataIsAskedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		_, u := start(t, func(c *incoming) error {
			got = append(got, incomingMetadata(c)["token"]...)
			if c.number == 1 {
				return fails(codes.Unavailable)(c)
			}
			return nil
		})
		c, n := restart, 0
		c.Metadata = func() metadata.MD { n++; return metadata.MD{"token": {fmt.Sprint(n)}} }
		read(t.Context(), u, c)
		if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// A backend that answers and breaks off at once, again and again, is given up when the pauses add up to retry_for.
func TestOpeningAloneIsNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, u := start(t, func(c *incoming) error {
			_ = c.SendHeader(nil)
			return fails(codes.Unavailable)(c)
		})
		began := time.Now()
		c := restart
		c.RetryFor = time.Minute
		r := read(t.Context(), u, c)
		if took := time.Since(began); took != time.Minute || r.end.Code() != codes.Unavailable || r.opened != len(r.waiting)+1 {
			t.Errorf("end %v after %v, opened %d times, %d pauses", r.end.Err(), took, r.opened, len(r.waiting))
		}
	})
}

// A host that does not answer at all: readers are told within seconds.
func TestSilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		u := b.connect(t, func(o *upstream.Options) {
			o.DialOptions = []grpc.DialOption{grpc.WithContextDialer(slowly(b.dial, 24*time.Hour))}
		})
		began := time.Now()
		r := read(t.Context(), u, upstream.Call{})
		if took := time.Since(began); took > 6*time.Second || r.end.Code() != codes.Unavailable || r.end.Sent {
			t.Errorf("%v after %v, sent %v", r.end.Err(), took, r.end.Sent)
		}
	})
}
