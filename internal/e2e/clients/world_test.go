// Package clients_test reads streams of the bridge with the SSE clients that people use: npm's eventsource and
// @microsoft/fetch-event-source, plain fetch, and Go's tmaxmax/go-sse. The JavaScript ones are in e2e/clients.
package clients_test

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guard ends a test that hangs. Nothing is expected to be done within it.
const guard = 3 * time.Minute

// event is what a client hands out.
type event struct{ Type, ID, Data string }

// texts are the events of the one script there is, "three".
var texts = []string{"one", "two, and ä", "three"}

// world is a bridge in front of a backend that plays scripts.
type world struct {
	backend *script.Backend
	addr    string       // the bridge's HOST:PORT
	runs    atomic.Int64 // of cutEverywhere
}

func start(t *testing.T) *world {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{backend: script.New()}
	ended := make(chan error, 2) // one slot for each of the two, so that they can end before anybody asks
	go func() { ended <- w.backend.Serve(ctx, listener) }()

	settings := config.New()
	settings.Config.Listen, settings.Config.Admin = "127.0.0.1:0", config.AdminOff
	settings.Config.Upstreams = []*configv1.Upstream{{Target: listener.Addr().String()}}
	resolved, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	resolved.DrainWindow = 0
	b, err := bridge.New(resolved, bridge.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	awaitReady(t, b)
	w.addr = b.Addr().String()
	var steps []*scriptv1.Step
	for _, text := range texts {
		steps = append(steps, script.Note(text))
	}
	w.backend.Define("three", append(steps, script.End())...)
	return w
}

// awaitReady returns when the backend's schema is loaded: until then every stream is "busy".
func awaitReady(t *testing.T, b *bridge.Bridge) {
	t.Helper()
	late := time.After(guard)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !b.Ready() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the bridge does not get ready")
		}
	}
}
