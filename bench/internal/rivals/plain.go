package rivals

import (
	"context"
	"errors"
	"slices"

	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// plainTarget is one of the programs of cmd/rival that are published to by POST.
type plainTarget struct {
	process
	name    string
	place   target.Place
	options target.Options
	can     []target.Capability
	publish publisher
}

// plain makes the targets of one name.
func plain(name string, can ...target.Capability) func(target.Place, target.Options) target.Target {
	return func(place target.Place, options target.Options) target.Target {
		return &plainTarget{name: name, place: place, options: options, can: can}
	}
}

// Name implements Target.
func (p *plainTarget) Name() string { return p.name }

// Can implements Target.
func (p *plainTarget) Can(c target.Capability) bool { return slices.Contains(p.can, c) }

// Start implements Target.
func (p *plainTarget) Start(ctx context.Context) error {
	file, err := build(ctx, p.place)
	if err != nil {
		return err
	}
	var args []string
	if p.options.TLS && p.Can(target.TLS) {
		args = append(args, "-tls")
	}
	if err := p.start(ctx, p.place, file, append(args, p.name)...); err != nil {
		return err
	}
	p.publish = publisher{addr: p.addr, tls: p.options.TLS}
	return nil
}

// Stop implements Target.
func (p *plainTarget) Stop() error {
	return errors.Join(p.publish.close(), p.process.Stop())
}

// Request implements Target.
func (p *plainTarget) Request(stream, from string) []byte {
	path := "/sub/" + stream
	if from == target.First {
		path += "?from=first"
	}
	return get(path)
}

// Publish implements Target.
func (p *plainTarget) Publish(ctx context.Context, stream string, payload []byte) error {
	return p.publish.post(ctx, stream, payload)
}

// PublishAhead implements Ahead.
func (p *plainTarget) PublishAhead(ctx context.Context, stream string, payload []byte) error {
	return p.publish.postAhead(ctx, stream, payload)
}
