package browser_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// world is a bridge in front of a backend that plays scripts and keeps logs. Each of the two can go away and come back
// at its address; the backend has its logs then as before, the bridge nothing.
type world struct {
	t        *testing.T
	backend  *script.Backend
	addr     string // the bridge's HOST:PORT
	upstream string // the backend's
	yaml     string // the bridge's config, besides addresses

	stopBackend, stopBridge func() // nil while it is away
}

// launch starts both, until the test ends.
func launch(t *testing.T, yaml string) *world {
	t.Helper()
	w := &world{t: t, backend: script.New(), addr: reserve(t), upstream: reserve(t), yaml: yaml}
	t.Cleanup(func() {
		for _, stop := range []func(){w.stopBridge, w.stopBackend} {
			if stop != nil {
				stop()
			}
		}
	})
	w.startBackend()
	w.startBridge()
	return w
}

// reserve takes a port that nobody else can take until the test ends, although nothing listens on it.
func reserve(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
}

func (w *world) startBackend() {
	w.t.Helper()
	listener, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp4", w.upstream)
	if err != nil {
		w.t.Fatal(err)
	}
	w.stopBackend = w.run("backend", func(ctx context.Context) error { return w.backend.Serve(ctx, listener) })
}

func (w *world) startBridge() {
	w.t.Helper()
	loaded, err := config.Parse("test.yaml", fmt.Appendf(nil,
		"listen: %s\nadmin: 'off'\ndrain_window: 0s\nupstreams: [{target: '%s'}]\n%s", w.addr, w.upstream, w.yaml))
	if err != nil {
		w.t.Fatal(err)
	}
	settings, err := loaded.Resolve()
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	b, err := bridge.New(settings, bridge.Options{Logger: log})
	if err != nil {
		w.t.Fatal(err)
	}
	w.stopBridge = w.run("bridge", b.Run)
	awaitReady(w.t, b)
}

// run runs something until it is stopped.
func (w *world) run(name string, serve func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1) // one slot: it may end before anybody asks
	go func() { ended <- serve(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("%s: %v", name, err)
		}
	}
}

// awaitReady returns when the backend's schema is loaded: until then every stream is "busy".
func awaitReady(t *testing.T, b *bridge.Bridge) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !b.Ready() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the bridge is not ready after %s", patience)
		}
	}
}
