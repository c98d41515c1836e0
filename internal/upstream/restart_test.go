package upstream_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

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
