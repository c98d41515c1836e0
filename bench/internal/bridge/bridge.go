// Package bridge runs grpc-sse, built from this clone, as a target.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	benchv1 "github.com/grpc-sse/grpc-sse/bench/gen/bench/v1"
	"github.com/grpc-sse/grpc-sse/bench/internal/backend"
	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// Name is the target's.
const Name = "grpc-sse"

// Maker makes targets that are the bridge.
func Maker() target.Maker {
	return target.Maker{Name: Name, New: func(p target.Place, o target.Options) target.Target {
		return &bridge{place: p, options: o}
	}}
}

type bridge struct {
	place   target.Place
	options target.Options
	backend *backend.Server
	process *target.Process
	addr    string
}

// Name implements target.Target, as all methods do.
func (*bridge) Name() string { return Name }

// Can says that the bridge can do everything, but what it was started without.
func (b *bridge) Can(c target.Capability) bool {
	switch c {
	case target.TLS:
		return b.options.TLS
	case target.Compression:
		return len(b.options.Compression) > 0
	default:
		return true
	}
}

// Start starts a backend and the bridge in front of it.
func (b *bridge) Start(ctx context.Context) error {
	program, err := b.place.Build.Build(ctx, filepath.Join(b.place.Repo, "cmd", "grpc-sse"))
	if err != nil {
		return err
	}
	if b.backend, err = backend.Start(ctx); err != nil {
		return err
	}
	if b.addr, err = target.FreeAddr(ctx); err != nil {
		return err
	}
	admin, err := target.FreeAddr(ctx)
	if err != nil {
		return err
	}
	config, err := b.configure(admin)
	if err != nil {
		return err
	}
	if b.process, err = target.Launch(b.place.Log, b.place.Dir, program, "serve", "--config", config); err != nil {
		return err
	}
	return b.process.Await(ctx, func(ctx context.Context) error { return ready(ctx, admin) })
}

// ready is nil when the bridge serves its routes.
func ready(ctx context.Context, admin string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return err
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// rules say by config what methods can say by options. Everything that is not said is as users get it; but limits are
// those of the machine, and logs have room for what readers may be behind.
const rules = `
listen: %s
admin: %s
upstreams:
  - {name: bench, target: %q, descriptor_set: bench.binpb}
limits: {connections: %d, log_bytes: 4Gi}
log: {level: warn}
rules:
  - selector: bench.v1.EventService.WatchLive
    http: {get: "/live/{stream}"}
    stream: {share: PUBLIC, start: LIVE, retention: {events: 1000000, bytes: 256Mi}, event: {literal: tick}}
  - selector: bench.v1.EventService.WatchKept
    http: {get: "/kept/{stream}"}
    stream: {share: PUBLIC, start: EARLIEST, retention: {events: 1000000, bytes: 256Mi}, event: {literal: tick}}
  - selector: bench.v1.EventService.WatchOwn
    http: {get: "/own/{stream}"}
    stream: {retention: {events: 1000000, bytes: 256Mi}, linger: 0s, event: {literal: tick}}
`

// configure writes the config and what it names.
func (b *bridge) configure(admin string) (file string, err error) {
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{
		File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(benchv1.File_bench_v1_event_proto)},
	})
	if err != nil {
		return "", err
	}
	const others = 50 // files that are no connections
	limit, err := procstat.Files()
	if err != nil {
		return "", err
	}
	config := fmt.Sprintf(rules, b.addr, admin, b.backend.Addr(), limit-others)
	files := map[string][]byte{"bench.binpb": set}
	if len(b.options.Compression) > 0 {
		config += "compression: {encodings: [" + strings.Join(b.options.Compression, ", ") + "]}\n"
	}
	if b.options.Quiet {
		config += "heartbeat: 60s\n"
	}
	if b.options.TLS {
		config += "tls: {cert_file: cert.pem, key_file: key.pem}\n"
		if files["cert.pem"], files["key.pem"], err = certificate(); err != nil {
			return "", err
		}
	}
	files["grpc-sse.yaml"] = []byte(config)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.place.Dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(b.place.Dir, "grpc-sse.yaml"), nil
}

// Stop ends both.
func (b *bridge) Stop() error {
	var err error
	if b.process != nil {
		err = b.process.Kill()
	}
	if b.backend != nil {
		b.backend.Stop()
	}
	return err
}

// PIDs is the bridge's process; the backend is in this one.
func (b *bridge) PIDs() []int { return []int{b.process.PID()} }

// Addr is where the bridge serves its routes.
func (b *bridge) Addr() string { return b.addr }

// Request asks for the method that begins where from says.
func (b *bridge) Request(stream, from string) []byte {
	route := map[string]string{target.Live: "live", target.First: "kept", target.Own: "own"}[from]
	return []byte("GET /" + route + "/" + stream + " HTTP/1.1\r\nHost: " + b.addr + "\r\nAccept: text/event-stream\r\n\r\n")
}

// Publish lets the backend send the event.
func (b *bridge) Publish(ctx context.Context, stream string, payload []byte) error {
	return b.backend.Publish(ctx, stream, payload)
}
