package browser_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// bridged starts a bridge in front of a backend that plays scripts, and returns the backend and the bridge's HOST:PORT.
func bridged(t *testing.T) (*script.Backend, string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := script.New()
	served := make(chan error, 1)
	go func() { served <- backend.Serve(ctx, listener) }()

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
	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Errorf("bridge: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("backend: %v", err)
		}
	})
	awaitReady(t, b)
	return backend, b.Addr().String()
}

// awaitReady returns when the backend's schema is loaded: until then every stream is "busy".
func awaitReady(t *testing.T, b *bridge.Bridge) {
	t.Helper()
	late := time.After(2 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !b.Ready() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the bridge is not ready after 20 s")
		}
	}
}

// three is a call of three events.
func three(t *testing.T) stream {
	t.Helper()
	backend, addr := bridged(t)
	s := stream{addr: addr, path: "/v1/play/three", types: []string{"note"}}
	var steps []*scriptv1.Step
	for i, text := range []string{"one", "two, and ä", "three"} {
		steps = append(steps, script.Note(text))
		s.data = append(s.data, fmt.Sprintf(`{"n":"%d","note":{"text":"%s"}}`, i+1, text))
	}
	backend.Define("three", steps...)
	return s
}

// The same as for the stand-in, with the bridge: every byte of what it really sends.
func TestBridgeCutAtEveryByte(t *testing.T) { cutAtEveryByte(t, three(t)) }
