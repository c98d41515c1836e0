package bridgetest_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// port is an address that a backend can come up on, go down and come up again. While it is down connections to it are
// refused, and nobody else can take it.
type port struct {
	t       *testing.T
	address string

	mu   sync.Mutex
	stop func() // nil while it is down
}

// newPort reserves an address until the test ends.
func newPort(t *testing.T) *port {
	t.Helper()
	p := &port{t: t, address: reserve(t)}
	t.Cleanup(p.down)
	return p
}

// server is a gRPC server, or anything that serves on a listener until it is told to stop.
type server interface {
	Serve(l net.Listener) error
	Stop()
}

// up serves on the port.
func (p *port) up(s server) {
	p.t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ended by Stop
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = func() {
		s.Stop()
		<-done
	}
}

// down cuts every connection and closes the port.
func (p *port) down() {
	p.mu.Lock()
	stop := p.stop
	p.stop = nil
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// serve serves until the test ends, on an address that it returns.
func serve(t *testing.T, s server) string {
	t.Helper()
	p := newPort(t)
	p.up(s)
	return p.address
}

// scripted serves a scriptable backend until the test ends.
func scripted(t *testing.T, options ...grpc.ServerOption) (b *script.Backend, address string) {
	t.Helper()
	b = script.New()
	return b, serve(t, b.NewServer(options...))
}

// upstreams is the config of one upstream.
func upstreams(address string) string {
	return "upstreams: [{name: script, target: '" + address + "'}]\n"
}

// await waits for a condition on the backend's calls.
func await(t testing.TB, b *script.Backend, name string, ok func([]*scriptv1.Call) bool) {
	t.Helper()
	if err := b.Await(guarded(t), name, ok); err != nil {
		t.Fatal(err)
	}
}

// cancelled is a condition: the only call there is was cancelled by its caller.
func cancelled(calls []*scriptv1.Call) bool {
	return len(calls) == 1 && calls[0].GetEnded() && calls[0].GetCancelled()
}
