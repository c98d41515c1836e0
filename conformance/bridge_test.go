package conformance_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/grpc-sse/grpc-sse/conformance"
	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// bridges starts bridges in front of one backend that plays scripts: one for each setup, or one for each case where a
// setup says so.
type bridges struct {
	t       *testing.T
	script  *script.Backend
	backend string // HOST:PORT
	conn    *grpc.ClientConn

	mu     sync.Mutex
	shared map[string]func() (conformance.Endpoint, error) // by path and setup

	certificate *configv1.Tls // of all bridges that speak TLS
	roots       *x509.CertPool
}

// startBackend starts the backend. Cleanup ends it after the bridges.
func startBackend(t *testing.T) *bridges {
	t.Helper()
	b := &bridges{t: t, script: script.New(), shared: map[string]func() (conformance.Endpoint, error){}}
	var err error
	if b.certificate, b.roots, err = issueCertificate(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	server := &server{backend: b.script}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	b.backend = server.address
	conn, err := grpc.NewClient(b.backend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	b.conn = conn
	t.Cleanup(func() {
		_ = conn.Close()
		if err := server.stop(); err != nil {
			t.Errorf("backend: %v", err)
		}
	})
	return b
}

// endpoint returns an endpoint for one case on a path. A bridge serves one path's cases: a case of another would be
// another reader of its limits.
func (b *bridges) endpoint(s conformance.Setup, path conformance.Path) (conformance.Endpoint, error) {
	s.TLS = path == conformance.TLS
	e, err := b.reach(s, string(path))
	e.Path = path
	return e, err
}

func (b *bridges) reach(s conformance.Setup, path string) (conformance.Endpoint, error) {
	if s.Own || s.OwnServer {
		return b.own(s)
	}
	b.mu.Lock()
	key := path + " " + s.Name
	start := b.shared[key]
	if start == nil {
		start = sync.OnceValues(func() (conformance.Endpoint, error) { return b.start(s, b.backend) })
		b.shared[key] = start
	}
	b.mu.Unlock()
	return start()
}

// own starts what one case has for itself.
func (b *bridges) own(s conformance.Setup) (conformance.Endpoint, error) {
	target, toggle := b.backend, (func(bool) error)(nil)
	if s.OwnServer {
		server := &server{backend: b.script}
		if err := server.start(); err != nil {
			return conformance.Endpoint{}, err
		}
		b.t.Cleanup(func() { _ = server.stop() })
		target, toggle = server.address, server.toggle
	}
	e, err := b.start(s, target)
	if err != nil {
		return e, err
	}
	e.Server = toggle
	stop := e.Drain
	e.Drain = func() { stop() }
	e.Restart = func() (string, error) {
		stop()
		next, err := b.start(s, target)
		stop = next.Drain
		return next.URL, err
	}
	return e, nil
}

func (b *bridges) settings(s conformance.Setup, target string, tls *configv1.Tls) (*config.Settings, error) {
	text, err := s.ConfigYAML()
	if err != nil {
		return nil, err
	}
	loaded, err := config.Parse("setup "+s.Name, text)
	if err != nil {
		return nil, err
	}
	if s.BackendDown {
		target = "127.0.0.1:1" // nothing listens there
	}
	loaded.Config.Listen, loaded.Config.Admin = "127.0.0.1:0", config.AdminOff
	loaded.Config.Upstreams = []*configv1.Upstream{{Name: "script", Target: target}}
	loaded.Config.Tls = tls
	settings, err := loaded.Resolve()
	if err != nil {
		return nil, err
	}
	if s.Unchecked.Heartbeat != 0 {
		settings.Heartbeat = s.Unchecked.Heartbeat
	}
	if s.Unchecked.MaxConnectionAge != 0 {
		settings.MaxConnectionAge = s.Unchecked.MaxConnectionAge
	}
	if loaded.Config.DrainWindow == nil {
		settings.DrainWindow = 0 // the test's end is no drain
	}
	return settings, nil
}

// start starts a bridge. Cleanup ends it.
func (b *bridges) start(s conformance.Setup, target string) (conformance.Endpoint, error) {
	scheme, files, roots := "http://", (*configv1.Tls)(nil), (*x509.CertPool)(nil)
	if s.TLS {
		scheme, files, roots = "https://", b.certificate, b.roots
	}
	settings, err := b.settings(s, target, files)
	if err != nil {
		return conformance.Endpoint{}, err
	}
	bridged, err := bridge.New(settings, bridge.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return conformance.Endpoint{}, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		err = bridged.Run(ctx)
	}()
	b.t.Cleanup(func() {
		stop()
		<-ran
		if err != nil {
			b.t.Errorf("bridge: %v", err)
		}
	})
	select {
	case <-bridged.Listening():
	case <-ran:
		return conformance.Endpoint{}, err
	}
	deadline := time.After(2 * time.Minute)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !s.BackendDown && !bridged.Ready() {
		select {
		case <-ticker.C:
		case <-ran:
			return conformance.Endpoint{}, err
		case <-deadline:
			return conformance.Endpoint{}, errors.New("the bridge does not become ready")
		}
	}
	return conformance.Endpoint{
		URL: scheme + bridged.Addr().String(), Roots: roots, Drain: stop,
		Backend: scriptv1.NewControlServiceClient(b.conn), Logs: scriptv1.NewLogServiceClient(b.conn),
	}, nil
}
