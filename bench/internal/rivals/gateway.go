package rivals

import (
	"context"

	"github.com/grpc-sse/grpc-sse/bench/internal/backend"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// gatewayTarget is grpc-gateway in front of a backend in this process. Each reader is a call to the backend.
type gatewayTarget struct {
	process
	place   target.Place
	options target.Options
	backend *backend.Server
}

func newGateway(place target.Place, options target.Options) target.Target {
	return &gatewayTarget{place: place, options: options}
}

// Name implements Target.
func (g *gatewayTarget) Name() string { return Gateway }

// Can implements Target.
func (g *gatewayTarget) Can(c target.Capability) bool {
	switch c {
	case target.Fanout, target.SlowReaders, target.PerCall, target.HTTP2, target.TLS:
		return true
	default:
		return false
	}
}

// Start implements Target.
func (g *gatewayTarget) Start(ctx context.Context) error {
	file, err := build(ctx, g.place)
	if err != nil {
		return err
	}
	if g.backend, err = backend.Start(ctx); err != nil {
		return err
	}
	args := []string{"-backend", g.backend.Addr()}
	if g.options.TLS {
		args = append(args, "-tls")
	}
	return g.start(ctx, g.place, file, append(args, Gateway)...)
}

// Stop implements Target.
func (g *gatewayTarget) Stop() error {
	err := g.process.Stop()
	if g.backend != nil {
		g.backend.Stop()
		g.backend = nil
	}
	return err
}

// Request asks for an event at once: the gateway sends its response's head with the first.
func (g *gatewayTarget) Request(stream, _ string) []byte {
	return get("/sub/" + stream + "?hello=true")
}

// Publish implements Target.
func (g *gatewayTarget) Publish(ctx context.Context, stream string, payload []byte) error {
	return g.backend.Publish(ctx, stream, payload)
}
