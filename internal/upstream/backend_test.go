package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rawCodec lets the test's backend speak bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// incoming is one call as the backend sees it.
type incoming struct {
	grpc.ServerStream
	number  int // from 1, over all of the backend's servers
	request string
}

func (c *incoming) send(texts ...string) {
	for _, text := range texts {
		// A lost client ends the handler by its context.
		_ = c.SendMsg([]byte(text))
	}
}

// hold keeps the call until the client has gone.
func (c *incoming) hold() error {
	<-c.Context().Done()
	return c.Context().Err()
}

// backend is a gRPC server that answers every method with the same function. It can go away and come back.
type backend struct {
	handle  func(c *incoming) error
	options []grpc.ServerOption

	calls, cancelled, dials atomic.Int32
	connections             atomic.Int32 // dialled and not closed

	mu     sync.Mutex
	lis    *bufconn.Listener
	server *grpc.Server
	done   chan struct{}
}

// up starts a server.
func (b *backend) up() {
	lis := bufconn.Listen(1 << 16)
	server, done := b.serve(lis)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lis, b.server, b.done = lis, server, done
}

func (b *backend) serve(lis net.Listener) (*grpc.Server, chan struct{}) {
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.WaitForHandlers(true),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			c := &incoming{ServerStream: s, number: int(b.calls.Add(1))}
			var request []byte
			if err := s.RecvMsg(&request); err != nil {
				return err
			}
			c.request = string(request)
			err := b.handle(c)
			if errors.Is(err, context.Canceled) {
				b.cancelled.Add(1)
			}
			return err
		}),
	}, b.options...)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(lis)
	}()
	return server, done
}

// down stops the server at once: connections are cut, new ones refused.
func (b *backend) down() {
	b.mu.Lock()
	server, done := b.server, b.done
	b.lis, b.server = nil, nil
	b.mu.Unlock()
	if server != nil {
		server.Stop()
		<-done
	}
}

func (b *backend) dial(ctx context.Context, _ string) (net.Conn, error) {
	b.mu.Lock()
	lis := b.lis
	b.mu.Unlock()
	b.dials.Add(1)
	if lis == nil {
		return nil, errors.New("dial 10.1.2.3: connection refused")
	}
	conn, err := lis.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	b.connections.Add(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { b.connections.Add(-1) })}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// connect returns an Upstream of the backend. The test must call both down and Close inside its bubble.
func (b *backend) connect(t *testing.T, change func(o *upstream.Options)) *upstream.Upstream {
	t.Helper()
	o := upstream.Options{
		Name: "test", Target: "passthrough:///test", DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(b.dial), experimental.WithBufferPool(buffers),
		},
	}
	if change != nil {
		change(&o)
	}
	u, err := upstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	return u
}

// start starts a backend and an Upstream of it, both until the end of the test.
func start(t *testing.T, handle func(c *incoming) error, options ...grpc.ServerOption) (*backend, *upstream.Upstream) {
	t.Helper()
	b := &backend{handle: handle, options: options}
	b.up()
	t.Cleanup(b.down)
	return b, b.connect(t, nil)
}

// report is what a reader of one call saw.
type report struct {
	steps   []string // messages; "restarted: CODE" for restarts, "expired" for lost cursors
	end     outcome.Outcome
	opened  int
	waiting []upstream.Waiting
}

// read makes the call and reads it to its end.
func read(ctx context.Context, u *upstream.Upstream, c upstream.Call) *report {
	r := &report{}
	if c.Method == "" {
		c.Method = "/test.Service/Watch"
	}
	c.Watch = upstream.Watcher{
		Opened:  func() { r.opened++ },
		Waiting: func(w upstream.Waiting) { r.waiting = append(r.waiting, w) },
	}
	var end error
	for m, err := range u.Stream(ctx, c) {
		switch {
		case end != nil:
			panic("a step after the error")
		case err != nil:
			end = err
		case m.Restarted != nil:
			r.steps = append(r.steps, "restarted: "+outcome.CodeName(m.Restarted.Code()))
		case m.Expired:
			r.steps = append(r.steps, "expired")
		default:
			r.steps = append(r.steps, string(m.Data))
		}
	}
	if _, ok := errors.AsType[*outcome.Error](end); end != nil && !ok {
		panic(fmt.Sprintf("the error %v is no *outcome.Error", end))
	}
	r.end = outcome.Of(end)
	return r
}

// restart is a call that may be repeated.
var restart = upstream.Call{Restart: true, RetryFor: 5 * time.Minute}

// once is a call that may not.
var once = upstream.Call{RetryFor: 5 * time.Minute}

// elapse lets the bubble's fake clock go on by d.
func elapse(d time.Duration) { <-time.After(d) }

func fails(code codes.Code) func(c *incoming) error {
	return func(*incoming) error { return status.Error(code, "said by the backend") }
}

func incomingMetadata(c *incoming) metadata.MD {
	md, _ := metadata.FromIncomingContext(c.Context())
	return md
}
