package upstream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/test/bufconn"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// rawServer is an HTTP/2 server that makes the faults that a gRPC server cannot make. It calls handle for each request,
// one at a time for each connection.
type rawServer struct {
	handle func(c *rawConn, stream uint32)
	// early is called when a request's headers have come. Default nil.
	early func(c *rawConn, stream uint32)

	calls, resets atomic.Int32 // HEADERS and RST_STREAM frames received
	conns         sync.WaitGroup
}

// rawConn writes frames to one client.
type rawConn struct {
	net.Conn
	*http2.Framer
}

// headers writes a HEADERS frame with these names and values.
func (c *rawConn) headers(stream uint32, end bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	rest, first := block.Bytes(), true
	for first || len(rest) > 0 {
		part := rest[:min(len(rest), 16<<10)]
		rest = rest[len(part):]
		if first {
			_ = c.WriteHeaders(http2.HeadersFrameParam{
				StreamID: stream, BlockFragment: part, EndStream: end, EndHeaders: len(rest) == 0,
			})
		} else {
			_ = c.WriteContinuation(stream, len(rest) == 0, part)
		}
		first = false
	}
}

func (c *rawConn) grpcHeaders(stream uint32) {
	c.headers(stream, false, ":status", "200", "content-type", "application/grpc")
}

func (c *rawConn) trailers(stream uint32, code int) {
	c.headers(stream, true, "grpc-status", strconv.Itoa(code), "grpc-message", "said by the backend")
}

// message writes a gRPC message whose header promises size bytes.
func (c *rawConn) message(stream uint32, size int, body string) {
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
	_ = c.WriteData(stream, false, append(prefix, body...))
}

func (s *rawServer) serve(conn net.Conn) {
	defer conn.Close()
	c := &rawConn{Conn: conn, Framer: http2.NewFramer(conn, conn)}
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	_ = c.WriteSettings()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = c.WritePing(true, f.Data)
		case *http2.HeadersFrame:
			s.calls.Add(1)
			if s.early != nil {
				s.early(c, f.StreamID)
			}
		case *http2.RSTStreamFrame:
			s.resets.Add(1)
		case *http2.DataFrame:
			if f.StreamEnded() && s.handle != nil {
				s.handle(c, f.StreamID)
			}
		}
	}
}

// connect returns an Upstream of the server, both until the end of the test.
func (s *rawServer) connect(t *testing.T, options ...grpc.DialOption) *upstream.Upstream {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	s.conns.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.serve(conn) })
		}
	})
	b := &backend{}
	u := b.connect(t, func(o *upstream.Options) {
		o.DialOptions = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return lis.DialContext(ctx)
		}))
	})
	t.Cleanup(func() {
		_ = u.Close() // first, so that the connections end
		_ = lis.Close()
		s.conns.Wait()
	})
	return u
}

// What grpc-go makes of each fault, and what that means: class, code, and whether the backend may have run the call.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(c *rawConn, stream uint32)
		class  outcome.Class
		code   codes.Code
		unsent bool
		steps  int
	}{
		{"trailers only", func(c *rawConn, id uint32) {
			c.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "5")
		}, outcome.Permanent, codes.NotFound, false, 0},
		{"trailers only by a proxy, UNAVAILABLE", func(c *rawConn, id uint32) {
			c.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-message", "no healthy upstream")
		}, outcome.Broken, codes.Unavailable, false, 0},
		{"trailers after a message", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			c.trailers(id, 5)
		}, outcome.Permanent, codes.NotFound, false, 1},
		{"a code outside gRPC's", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.trailers(id, 77)
		}, outcome.Permanent, codes.Unknown, false, 0},
		{"a proxy's HTML 503", func(c *rawConn, id uint32) {
			c.headers(id, false, ":status", "503", "content-type", "text/html")
			_ = c.WriteData(id, true, []byte("<h1>10.1.2.3 is down</h1>"))
		}, outcome.Broken, codes.Unavailable, false, 0},
		{"a proxy's 404 without a body", func(c *rawConn, id uint32) {
			c.headers(id, true, ":status", "404", "content-type", "text/html")
		}, outcome.Broken, codes.Unimplemented, false, 0},
		{"a proxy's 401", func(c *rawConn, id uint32) {
			c.headers(id, true, ":status", "401", "content-type", "text/html")
		}, outcome.Broken, codes.Unauthenticated, false, 0},
		{"RST_STREAM INTERNAL_ERROR", func(c *rawConn, id uint32) {
			_ = c.WriteRSTStream(id, http2.ErrCodeInternal)
		}, outcome.Broken, codes.Internal, false, 0},
		{"RST_STREAM CANCEL after a message", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			_ = c.WriteRSTStream(id, http2.ErrCodeCancel)
		}, outcome.Broken, codes.Canceled, false, 1},
		{"RST_STREAM NO_ERROR after a message", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			_ = c.WriteRSTStream(id, http2.ErrCodeNo)
		}, outcome.Broken, codes.Internal, false, 1},
		{"RST_STREAM REFUSED_STREAM: not processed", func(c *rawConn, id uint32) {
			_ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}, outcome.Broken, codes.Unavailable, true, 0},
		{"GOAWAY before this stream: not processed", func(c *rawConn, _ uint32) {
			_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
		}, outcome.Broken, codes.Unavailable, true, 0},
		{"GOAWAY with this stream, then the connection closes", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			_ = c.WriteGoAway(id, http2.ErrCodeNo, nil)
			_ = c.Close()
		}, outcome.Broken, codes.Unavailable, false, 0},
		{"GOAWAY before this stream, which has been answered", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
		}, outcome.Broken, codes.Unavailable, false, 1},
		{"connection closed", func(c *rawConn, _ uint32) { _ = c.Close() }, outcome.Broken, codes.Unavailable, false, 0},
		{"connection closed inside a message", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 100, "a")
			_ = c.Close()
		}, outcome.Broken, codes.Unavailable, false, 0},
		{"END_STREAM without trailers", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			_ = c.WriteData(id, true, nil)
		}, outcome.Broken, codes.Internal, false, 1},
		{"headers over the limit", func(c *rawConn, id uint32) {
			fields := []string{":status", "200", "content-type", "application/grpc"}
			for range 70 {
				fields = append(fields, "x", strings.Repeat("x", 1<<10))
			}
			c.headers(id, false, fields...)
		}, outcome.Broken, codes.Internal, false, 0},
		{"one header over the limit: the whole connection is given up", func(c *rawConn, id uint32) {
			c.headers(id, false, ":status", "200", "content-type", "application/grpc", "x", strings.Repeat("x", 65<<10))
		}, outcome.Broken, codes.Unavailable, false, 0},
		{"too large a message", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1001, "")
		}, outcome.Permanent, codes.ResourceExhausted, false, 0},
		{"too large a message, and the trailers are there already", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 1, "a")
			c.message(id, 1001, strings.Repeat("x", 1001))
			c.trailers(id, 0)
		}, outcome.Permanent, codes.ResourceExhausted, false, 1},
		{"a message cut off by trailers that say OK", func(c *rawConn, id uint32) {
			c.grpcHeaders(id)
			c.message(id, 100, "a")
			c.trailers(id, 0)
		}, outcome.Permanent, codes.Internal, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &rawServer{handle: c.handle}
				u := s.connect(t)
				r := read(t.Context(), u, upstream.Call{MaxMessageBytes: 1000})
				if r.end.Class != c.class || r.end.Code() != c.code || r.end.Sent == c.unsent || len(r.steps) != c.steps {
					t.Errorf("%v %v (%v), sent %v, steps %q; want %v %v, %v, %d steps",
						r.end.Class, r.end.Code(), r.end.Cause, r.end.Sent, r.steps, c.class, c.code, !c.unsent, c.steps)
				}
				if text := r.end.Status.Message(); strings.Contains(text, "10.1.2.3") || strings.Contains(text, "RST_STREAM") {
					t.Errorf("clients read %q", text)
				}
				if n := s.calls.Load(); n != 1 {
					t.Errorf("%d calls on the wire, want 1: grpc-go repeats by itself", n)
				}
			})
		})
	}
}

// What the backend has certainly not run goes out again, also where a call must not run twice.
func TestRefusedUnseenIsRepeated(t *testing.T) {
	for name, refuse := range map[string]func(c *rawConn, id uint32){
		"REFUSED_STREAM": func(c *rawConn, id uint32) { _ = c.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":         func(c *rawConn, _ uint32) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &rawServer{}
				refusals := 3
				s.handle = func(c *rawConn, id uint32) {
					if refusals--; refusals >= 0 {
						refuse(c, id)
						return
					}
					c.grpcHeaders(id)
					c.message(id, 1, "a")
					c.trailers(id, 0)
				}
				u := s.connect(t)
				r := read(t.Context(), u, once)
				if r.end.Class != outcome.End || len(r.steps) != 1 || s.calls.Load() != 4 || len(r.waiting) != 3 {
					t.Errorf("end %v, steps %q, %d calls, %d pauses", r.end.Err(), r.steps, s.calls.Load(), len(r.waiting))
				}
				// A unary call takes one such chance at once.
				refusals = 1
				if reply, _, _, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"}); err != nil || string(reply) != "a" {
					t.Errorf("Invoke: %q, %v", reply, err)
				}
				refusals = 2
				if _, _, _, err := u.Invoke(t.Context(), upstream.Call{Method: "/test.Service/Get"}); outcome.Of(err).Code() != codes.Unavailable {
					t.Errorf("Invoke refused twice: %v, want UNAVAILABLE", err)
				}
			})
		})
	}
}

// However a call is let go of, the backend gets exactly one RST_STREAM for it.
func TestCancelIsSentOnce(t *testing.T) {
	for name, read := range map[string]func(u *upstream.Upstream){
		"left": func(u *upstream.Upstream) {
			for range u.Stream(context.Background(), upstream.Call{Method: "/test.Service/Watch"}) {
				break
			}
		},
		"context": func(u *upstream.Upstream) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			read(ctx, u, restart)
		},
		"idle": func(u *upstream.Upstream) {
			read(context.Background(), u, upstream.Call{IdleTimeout: time.Minute})
		},
		"too large": func(u *upstream.Upstream) {
			read(context.Background(), u, upstream.Call{MaxMessageBytes: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &rawServer{handle: func(c *rawConn, id uint32) {
					c.grpcHeaders(id)
					c.message(id, 2, "ab")
				}}
				u := s.connect(t)
				read(u)
				synctest.Wait()
				elapse(time.Minute)
				if calls, resets := s.calls.Load(), s.resets.Load(); calls != 1 || resets != 1 {
					t.Errorf("%d calls, %d RST_STREAM frames; want 1, 1", calls, resets)
				}
			})
		})
	}
}

// A backend whose own limit was hit (our request, or a message of a backend behind it) says so in the words that grpc-go
// uses for too large a message, but in trailers: that is the backend's answer.
func TestTooLargeSaidByTheBackend(t *testing.T) {
	for name, answer := range map[string]func(c *rawConn, id uint32, text string){
		"our request": func(c *rawConn, id uint32, text string) {
			c.headers(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "8",
				"grpc-message", strings.ReplaceAll(text, "LIMIT", "1000")) // the same limit as ours
		},
		"a message behind it": func(c *rawConn, id uint32, text string) {
			c.grpcHeaders(id)
			c.headers(id, true, "grpc-status", "8", "grpc-message", strings.ReplaceAll(text, "LIMIT", "1500"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &rawServer{handle: func(c *rawConn, id uint32) {
					answer(c, id, "grpc: received message larger than max (2000 vs. LIMIT)")
				}}
				u := s.connect(t)
				r := read(t.Context(), u, upstream.Call{MaxMessageBytes: 1000})
				if r.end.Class != outcome.Busy || r.end.HTTP != 0 {
					t.Errorf("got %v %v, want the backend's RESOURCE_EXHAUSTED", r.end.Class, r.end.Err())
				}
			})
		})
	}
}
