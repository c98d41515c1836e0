package upstream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// compacts sends events 1 to 3 and loses the first call, and then refuses every cursor with the code.
func compacts(k kind, code codes.Code) func(c *incoming) error {
	return func(c *incoming) error {
		if c.request != "" {
			return fails(code)(c)
		}
		c.send(k.event(1), k.event(2), k.event(3))
		if c.number == 1 {
			return fails(codes.Unavailable)(c)
		}
		return nil
	}
}

func TestCompacted(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.OutOfRange, codes.FailedPrecondition} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kind{}
				b, u := start(t, compacts(k, code))
				began := time.Now()
				r := read(t.Context(), u, k.call(0))
				if got := readable(r.steps); got != "1 2 3 expired 1 2 3" || r.end.Class != outcome.End {
					t.Errorf("got %s, end %v", got, r.end.Err())
				}
				// One pause, after the loss: the fresh start follows the refusal at once.
				if b.calls.Load() != 3 || len(r.waiting) != 1 || time.Since(began) > r.waiting[0].RetryIn {
					t.Errorf("%d calls, pauses %v, after %v", b.calls.Load(), r.waiting, time.Since(began))
				}
			})
		})
	}
}

// A reader's own cursor may be too old, too; then the fresh start needs no time to wait.
func TestCompactedFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{text: true}
		b, u := start(t, compacts(k, codes.NotFound))
		c := k.call(9)
		c.RetryFor = 0
		r := read(t.Context(), u, c)
		if got := readable(r.steps); got != "expired 1 2 3" || b.calls.Load() != 2 || r.end.Class != outcome.End {
			t.Errorf("got %s, %d calls, end %v", got, b.calls.Load(), r.end.Err())
		}
	})
}

// Refused again on the fresh start: that is the end, and the only thing the reader is told.
func TestCompactedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{}
		b, u := start(t, func(c *incoming) error {
			if c.number > 1 {
				return fails(codes.NotFound)(c)
			}
			c.send(k.event(1))
			return fails(codes.Unavailable)(c)
		})
		c := k.call(0)
		c.Restart = true
		r := read(t.Context(), u, c)
		if got := readable(r.steps); got != "1" || b.calls.Load() != 3 || r.end.Code() != codes.NotFound {
			t.Errorf("got %s, %d calls, end %v", got, b.calls.Load(), r.end.Err())
		}
	})
}

// The same codes after a message of the opening, or others before it, are permanent errors.
func TestNotCompacted(t *testing.T) {
	for name, handle := range map[string]func(k kind) func(c *incoming) error{
		"after a message": func(k kind) func(c *incoming) error {
			return func(c *incoming) error {
				c.send(k.event(k.first(c.request)))
				return fails([]codes.Code{codes.Unavailable, codes.NotFound}[c.number-1])(c)
			}
		},
		"after a message that is dropped": func(k kind) func(c *incoming) error {
			return func(c *incoming) error {
				c.send(k.event(1), k.event(2))
				return fails([]codes.Code{codes.Unavailable, codes.NotFound}[c.number-1])(c)
			}
		},
		"another code": func(k kind) func(c *incoming) error {
			return func(c *incoming) error {
				if c.number == 1 {
					c.send(k.event(1), k.event(2))
				}
				return fails([]codes.Code{codes.Unavailable, codes.InvalidArgument}[c.number-1])(c)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kind{}
				b, u := start(t, handle(k))
				r := read(t.Context(), u, k.call(0))
				if got := readable(r.steps); got != "1 2" || b.calls.Load() != 2 || r.end.Class != outcome.Permanent {
					t.Errorf("got %s, %d calls, end %v", got, b.calls.Load(), r.end.Err())
				}
			})
		})
	}
}

// A fresh start that only repeats what was there is no progress, however often the backend forgets: the call ends.
func TestCompactionIsNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{}
		b, u := start(t, func(c *incoming) error {
			if c.request != "" {
				return fails(codes.OutOfRange)(c)
			}
			c.send(k.event(1), k.event(2))
			return fails(codes.Aborted)(c)
		})
		r := read(t.Context(), u, k.call(0))
		if n := b.calls.Load(); n != 9 || r.end.Code() != codes.Aborted {
			t.Errorf("%d calls, end %v, steps %s; want 5 fresh ones and 4 refusals", n, r.end.Err(), readable(r.steps))
		}
	})
}

// A fresh start that is lost itself is started again only where that is allowed.
func TestFreshStartIsLost(t *testing.T) {
	for want, restart := range map[string]bool{"1 2": false, "1 2 expired 1 2 3": true} {
		synctest.Test(t, func(t *testing.T) {
			k := kind{}
			b, u := start(t, func(c *incoming) error {
				switch c.number {
				case 1:
					c.send(k.event(1), k.event(2))
					return fails(codes.Unavailable)(c)
				case 2:
					return fails(codes.NotFound)(c)
				case 3:
					return fails(codes.Unavailable)(c)
				default:
					c.send(k.event(1), k.event(2), k.event(3))
					return nil
				}
			})
			c := k.call(0)
			c.Restart = restart
			r := read(t.Context(), u, c)
			if got := readable(r.steps); got != want || b.calls.Load() < 3 {
				t.Errorf("got %s, %d calls, want %s", got, b.calls.Load(), want)
			}
		})
	}
}

func TestLeavingAtAnExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{}
		b, u := start(t, func(c *incoming) error {
			if c.request != "" {
				return fails(codes.NotFound)(c)
			}
			c.send(k.event(1))
			return c.hold()
		})
		c := k.call(5)
		c.Method = "/test.Service/Watch"
		for m, err := range u.Stream(t.Context(), c) {
			if !m.Expired || m.Data != nil || err != nil {
				t.Errorf("got %+v, %v", m, err)
			}
			break
		}
		synctest.Wait()
		if b.calls.Load() != 2 || b.cancelled.Load() != 1 {
			t.Errorf("%d calls, %d cancelled; want 2, 1", b.calls.Load(), b.cancelled.Load())
		}
	})
}

// Faults that only a server out of order makes, in the middle of a call that can go on.
func TestResumeAfterFaults(t *testing.T) {
	for name, lose := range map[string]func(c *rawConn, id uint32){
		"RST_STREAM":              func(c *rawConn, id uint32) { _ = c.WriteRSTStream(id, http2.ErrCodeInternal) },
		"RST_STREAM REFUSED":      func(c *rawConn, id uint32) { _ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"connection closed":       func(c *rawConn, _ uint32) { _ = c.Close() },
		"GOAWAY":                  func(c *rawConn, id uint32) { _ = c.WriteGoAway(id, http2.ErrCodeNo, nil); _ = c.Close() },
		"GOAWAY before it":        func(c *rawConn, _ uint32) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"END_STREAM, no trailers": func(c *rawConn, id uint32) { _ = c.WriteData(id, true, nil) },
		"inside a message":        func(c *rawConn, id uint32) { c.message(id, 100, "a"); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kind{inclusive: true}
				s := &rawServer{}
				s.handle = func(c *rawConn, id uint32) {
					c.grpcHeaders(id)
					if s.calls.Load() == 1 {
						for n := 1; n <= 3; n++ {
							c.message(id, len(k.event(n)), k.event(n))
						}
						lose(c, id)
						return
					}
					for n := 3; n <= 6; n++ {
						c.message(id, len(k.event(n)), k.event(n))
					}
					c.trailers(id, 0)
				}
				r := read(t.Context(), s.connect(t), k.call(0))
				if got := readable(r.steps); got != "1 2 3 4 5 6" || r.end.Class != outcome.End || s.calls.Load() != 2 {
					t.Errorf("got %s, end %v, %d calls", got, r.end.Err(), s.calls.Load())
				}
			})
		})
	}
}
