package upstream_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// kind is how a backend keeps its cursors: event n has the cursor n, or "en".
type kind struct {
	text, inclusive bool
}

var kinds = map[string]kind{
	"integers":            {},
	"integers, inclusive": {inclusive: true},
	"strings":             {text: true},
	"strings, inclusive":  {text: true, inclusive: true},
}

// rule is the kind's rule; requests and messages are a wrapper with the cursor in its value.
func (k kind) rule() *cursor.Rule {
	var m proto.Message = &wrapperspb.Int64Value{}
	if k.text {
		m = &wrapperspb.StringValue{}
	}
	path := schema.FieldPath{m.ProtoReflect().Descriptor().Fields().ByName("value")}
	return cursor.NewRule(&schema.Resume{Event: path, Request: path, Inclusive: k.inclusive})
}

func (k kind) value(n int) cursor.Value {
	if k.text {
		return transcode.TextValue("e" + strconv.Itoa(n))
	}
	return transcode.IntValue(int64(n))
}

// event is event n as the backend sends it.
func (k kind) event(n int) string {
	return string(k.rule().Request(nil, k.value(n)))
}

// first is the number of the event with which a call begins that was requested so.
func (k kind) first(request string) int {
	v, ok := k.rule().Of([]byte(request))
	if !ok {
		return 1
	}
	n := int(v.Int())
	if k.text {
		n, _ = strconv.Atoi(strings.TrimPrefix(v.Text(), "e"))
	}
	if k.inclusive {
		return n
	}
	return n + 1
}

// call is a call that follows the kind's cursor, from event n if that is not 0.
func (k kind) call(from int) upstream.Call {
	o := cursor.TrackerOptions{HasFrom: from > 0}
	if from > 0 {
		o.From = k.value(from)
	}
	c := once
	c.Resume = k.rule().Track(nil, o)
	return c
}

// readable replaces events by their numbers.
func readable(steps []string) string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = s
		switch number, typ, n := protowire.ConsumeTag([]byte(s)); {
		case number != 1 || n < 0:
		case typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint([]byte(s[n:]))
			out[i] = fmt.Sprint(v)
		case typ == protowire.BytesType:
			out[i] = strings.TrimPrefix(s[n+1:], "e")
		}
	}
	return strings.Join(out, " ")
}

// journal is a backend of six events that loses its first call after the third.
func journal(k kind, lose func(b *backend, c *incoming) error) *backend {
	b := &backend{}
	b.handle = func(c *incoming) error {
		for n := k.first(c.request); n <= 6; n++ {
			c.send(k.event(n))
			if n == 3 && c.number == 1 {
				return lose(b, c)
			}
		}
		return nil
	}
	return b
}

// However a call is lost, its reader gets every event once and is told of nothing but a pause, also where the call may
// not be started again.
func TestResume(t *testing.T) {
	for fault, lose := range map[string]func(b *backend, c *incoming) error{
		"UNAVAILABLE":        func(_ *backend, c *incoming) error { return fails(codes.Unavailable)(c) },
		"RESOURCE_EXHAUSTED": func(_ *backend, c *incoming) error { return fails(codes.ResourceExhausted)(c) },
		"the server is away for ten seconds": func(b *backend, c *incoming) error {
			elapse(time.Second) // what was sent gets through
			time.AfterFunc(10*time.Second, b.up)
			go b.down()
			return c.hold()
		},
		"maximum connection age": func(_ *backend, c *incoming) error { return c.hold() },
	} {
		for name, k := range kinds {
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := journal(k, lose)
					if fault == "maximum connection age" { // GOAWAY, then the connection is closed
						b.options = append(b.options, grpc.KeepaliveParams(keepalive.ServerParameters{
							MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: time.Second,
						}))
					}
					b.up()
					defer func() { b.down() }()
					r := read(t.Context(), b.connect(t, nil), k.call(0))
					if got := readable(r.steps); got != "1 2 3 4 5 6" || r.end.Class != outcome.End {
						t.Errorf("got %s, end %v", got, r.end.Err())
					}
					if b.calls.Load() != 2 || r.opened != 2 || len(r.waiting) == 0 {
						t.Errorf("%d calls, opened %d times, %d pauses", b.calls.Load(), r.opened, len(r.waiting))
					}
				})
			})
		}
	}
}

func TestResumeAfterIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{text: true}
		b := journal(k, func(_ *backend, c *incoming) error { return c.hold() })
		b.up()
		defer b.down()
		c := k.call(0)
		c.IdleTimeout = 30 * time.Second
		r := read(t.Context(), b.connect(t, nil), c)
		if got := readable(r.steps); got != "1 2 3 4 5 6" || r.end.Class != outcome.End || b.calls.Load() != 2 {
			t.Errorf("got %s, end %v, %d calls", got, r.end.Err(), b.calls.Load())
		}
	})
}

// The request of a call that goes on is the first one with the cursor added.
func TestResumeKeepsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		field := protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), 1)
		var got []string
		k := kind{}
		b := journal(k, func(_ *backend, c *incoming) error { return fails(codes.Unavailable)(c) })
		handle := b.handle
		b.handle = func(c *incoming) error {
			got = append(got, c.request)
			return handle(c)
		}
		b.up()
		defer b.down()
		c := once
		c.Request, c.Resume = field, k.rule().Track(field, cursor.TrackerOptions{})
		read(t.Context(), b.connect(t, nil), c)
		if diff := cmp.Diff([]string{string(field), string(field) + k.event(3)}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// What was sent before is no progress: a backend that only repeats it is given up.
func TestDroppedMessagesAreNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{}
		b, u := start(t, func(c *incoming) error {
			c.send(k.event(1), k.event(2), k.event(3)) // whatever was asked for
			return fails(codes.Aborted)(c)
		})
		r := read(t.Context(), u, k.call(0))
		if got := readable(r.steps); got != "1 2 3" || b.calls.Load() != 5 || r.end.Code() != codes.Aborted {
			t.Errorf("got %s, %d calls, end %v", got, b.calls.Load(), r.end.Err())
		}
	})
}

// One new message for each opening is progress, though after a fresh start there are fewer of them than before it.
func TestResumedMessagesAreProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{}
		_, u := start(t, func(c *incoming) error {
			switch n := k.first(c.request); {
			case c.number == 1:
				for i := 1; i <= 100; i++ {
					c.send(k.event(i))
				}
			case c.number == 2:
				return fails(codes.OutOfRange)(c)
			case c.number == 3:
				c.send(k.event(201))
			case n == 220:
				return nil
			default:
				c.send(k.event(n))
			}
			return fails(codes.Aborted)(c)
		})
		r := read(t.Context(), u, k.call(0))
		if len(r.steps) != 100+1+19 || r.end.Class != outcome.End {
			t.Errorf("%d steps, end %v", len(r.steps), r.end.Err())
		}
	})
}

// A backend that ignores the field has started the call again. With integers the repetition is told from what is new.
func TestBackendIgnoresTheCursor(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    kind
		from    int
		restart bool
		want    string
		end     codes.Code
	}{
		{"integers", kind{}, 0, false, "1 2 3 4 5 6", codes.OK},
		{"strings, RESTART", kind{text: true}, 0, true, "1 2 3 restarted: UNAVAILABLE 1 2 3 4 5 6", codes.OK},
		{"strings, END", kind{text: true}, 0, false, "1 2 3", codes.Unavailable},
		{"from the start", kind{text: true}, 9, false, "expired 1 2 3", codes.Unavailable},
		{"from the start, RESTART", kind{text: true}, 9, true, "expired 1 2 3 restarted: UNAVAILABLE 1 2 3 4 5 6", codes.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, func(in *incoming) error {
					for n := 1; n <= 6; n++ {
						in.send(c.kind.event(n))
						if n == 3 && in.number == 1 {
							return fails(codes.Unavailable)(in)
						}
					}
					return nil
				})
				call := once
				call.Restart = c.restart
				call.Resume = c.kind.rule().Track(nil, cursor.TrackerOptions{
					From: c.kind.value(c.from), HasFrom: c.from > 0,
					// The log has event 1 as soon as it was sent, and from the start where the reader has event 9.
					Holds: func(v cursor.Value) bool { return v == c.kind.value(1) && (b.calls.Load() > 1 || c.from > 0) },
				})
				r := read(t.Context(), u, call)
				if got := readable(r.steps); got != c.want || r.end.Code() != c.end {
					t.Errorf("got %s, end %v; want %s, %v", got, r.end.Err(), c.want, c.end)
				}
			})
		})
	}
}

// A call that is opened at its reader's cursor may be opened again however it is lost, and nothing is told of that.
func TestOpenedAtACursor(t *testing.T) {
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, u := start(t, func(c *incoming) error {
					if c.number < 4 {
						return fails(codes.Aborted)(c)
					}
					for n := k.first(c.request); n <= 6; n++ {
						c.send(k.event(n))
					}
					return nil
				})
				r := read(t.Context(), u, k.call(4))
				if got := readable(r.steps); got != "5 6" || b.calls.Load() != 4 || r.end.Class != outcome.End {
					t.Errorf("got %s, %d calls, end %v", got, b.calls.Load(), r.end.Err())
				}
			})
		})
	}
}

// A call whose backend broke the rule counts as one without a cursor.
func TestRuleBroken(t *testing.T) {
	for name, restart := range map[string]bool{"RESTART": true, "END": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kind{}
				b, u := start(t, func(c *incoming) error {
					if k.first(c.request) != 1 {
						t.Error("opened at a cursor after all")
					}
					c.send(k.event(2), k.event(1))
					if c.number > 1 {
						return nil
					}
					return fails(codes.Unavailable)(c)
				})
				c := k.call(0)
				c.Restart = restart
				r := read(t.Context(), u, c)
				want, calls := "2 1", int32(1)
				if restart {
					want, calls = "2 1 restarted: UNAVAILABLE 2 1", 2
				}
				if got := readable(r.steps); got != want || b.calls.Load() != calls {
					t.Errorf("got %s, %d calls; want %s, %d", got, b.calls.Load(), want, calls)
				}
			})
		})
	}
}
