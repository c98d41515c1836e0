// Package bridge wires the parts together and runs them: New makes a bridge of its settings, Run serves until told to
// end. It is the only package that knows all the others.
package bridge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/edge"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// lastWrites is how long readers have to take the end of their streams when the drain window is over, and unary calls
// to finish.
const lastWrites = 3 * time.Second

// Options are what a bridge takes beside its settings.
type Options struct {
	// Logger gets what there is to say. Nil means slog.Default().
	Logger *slog.Logger
	// Stdout gets the table of routes when the schemas are loaded. Nil means nowhere.
	Stdout io.Writer
	// DialOptions are added to those that upstreams are dialled with.
	DialOptions []grpc.DialOption
	// Now tells the time, for logs and positions. Nil means time.Now.
	Now func() time.Time
}

// Bridge is one bridge. It is made by New and run once.
type Bridge struct {
	settings *config.Settings
	logger   *slog.Logger
	stdout   io.Writer

	upstreams map[string]*upstream.Upstream
	feed      *feed.Feed
	edge      *edge.Edge
	delivery  *delivery.Server
	handler   http.Handler
	catalog   *catalog
	draining  atomic.Bool

	listening chan struct{} // closed when the addresses are known
	addr      net.Addr
	adminAddr net.Addr
	handlers  sync.WaitGroup // requests under way, without those that delivery has taken over
}

// New makes a bridge. It opens no connection and no listener; an error is a mistake in the settings.
func New(s *config.Settings, o Options) (*Bridge, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	b := &Bridge{
		settings: s, logger: o.Logger, stdout: o.Stdout, upstreams: map[string]*upstream.Upstream{},
		listening: make(chan struct{}),
	}
	var err error
	if b.catalog, err = newCatalog(b); err != nil {
		return nil, err
	}
	for _, u := range s.Upstreams {
		b.upstreams[u.Name], err = upstream.New(upstream.Options{
			Name: u.Name, Target: u.Target, TLS: u.TLS, Metadata: u.Metadata, MaxConnections: u.MaxConnections,
			Changed: b.catalog.hint(u.Name), Logger: o.Logger, DialOptions: o.DialOptions,
		})
		if err != nil {
			b.closeUpstreams()
			return nil, fmt.Errorf("upstream %s: %w", u.Name, err)
		}
	}
	b.feed = feed.New(feed.Options{
		Budget: eventlog.NewBudget(s.LogBytes), MaxCalls: s.Calls, MaxReaders: s.ReadersPerStream, Logger: o.Logger, Now: o.Now,
	})
	if err := b.wire(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// wire makes what answers requests.
func (b *Bridge) wire() error {
	s := b.settings
	forwarder, err := access.NewForwarder(s.ForwardMetadata)
	if err != nil {
		return err
	}
	origins, err := access.NewOrigins(access.OriginOptions{
		Origins: s.Origins, Credentials: s.Credentials, Forwarded: forwarder.Headers(), Exposed: s.ResponseMetadata,
	})
	if err != nil {
		return err
	}
	principals, err := access.NewPrincipals(s.Principal.Header, s.Principal.Cookie)
	if err != nil {
		return err
	}
	b.delivery = delivery.New(delivery.Config{
		Heartbeat: s.Heartbeat, WriteTimeout: s.WriteTimeout, MaxAge: s.MaxConnectionAge, KickReason: "limit", Logger: b.logger,
	})
	b.edge = edge.New(edge.Options{
		Feed: b.feed, Upstreams: b.upstreams, Forwarder: forwarder, Principals: principals,
		Connections: access.NewConnections(access.Limits{
			Total: s.Connections, PerIP: s.ConnectionsPerIP, PerPrincipal: s.ConnectionsPerPrincipal,
		}),
		Delivery: b.delivery,
		Peers:    access.NewPeers(s.TrustedProxies), Keyer: access.NewKeyer(s.UnkeyedMetadata), Compression: s.Compression,
		ResponseMetadata: s.ResponseMetadata, UnaryTimeout: s.UnaryTimeout,
		OpenWindow: s.OpenWindow, RequestBytes: s.RequestBytes, Logger: b.logger,
	})
	b.handler = b.counted(always(origins.Handler(forwarder.Handler(b.edge))))
	return nil
}

// counted lets shutdown wait for every request. While the bridge drains, answers ask
// clients to open another connection for what comes next (over HTTP/2, GOAWAY): a browser would stay on this one, and
// never reach the bridge that takes over.
func (b *Bridge) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.handlers.Add(1)
		defer b.handlers.Done()
		if b.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// always sets the headers that every response has, errors and preflights included. The origin is added to Vary by what
// looks at it.
func always(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept, Accept-Encoding")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// Handler is what the listener serves, for who brings a server of their own. Run must run all the same.
func (b *Bridge) Handler() http.Handler { return b.handler }

// Addr is the address that clients connect to. It waits until Run listens.
func (b *Bridge) Addr() net.Addr {
	<-b.listening
	return b.addr
}

// AdminAddr is the address of /healthz and /readyz, nil where there is none. It waits until Run listens.
func (b *Bridge) AdminAddr() net.Addr {
	<-b.listening
	return b.adminAddr
}

// Listening is closed when Run listens and the addresses are known.
func (b *Bridge) Listening() <-chan struct{} { return b.listening }

// Ready reports whether every upstream's schema has been loaded once and the bridge is not draining.
func (b *Bridge) Ready() bool { return b.catalog.complete() && !b.draining.Load() }

// Stats counts the streams that the bridge holds.
func (b *Bridge) Stats() feed.Stats { return b.feed.Stats() }

// Close frees a bridge that is not run, or whose Run has returned.
func (b *Bridge) Close() {
	b.feed.Close()
	b.closeUpstreams()
}

func (b *Bridge) closeUpstreams() {
	for _, u := range b.upstreams {
		_ = u.Close() // it only says that it was closed before
	}
}

// Run serves until ctx ends, then drains: readiness fails, nothing new is started, and streams may go on for the drain
// window. It returns when everything that the bridge started has ended. An error means that it could not start: a
// listener, or a mistake that the backends' schemas show.
func (b *Bridge) Run(ctx context.Context) error {
	floor := newHeapFloor()
	defer runtime.KeepAlive(floor)
	defer b.Close()
	server, err := b.mainServer()
	if err != nil {
		return err
	}
	main, admin, err := b.listen(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	var work sync.WaitGroup
	defer work.Wait()

	// Schemas are refreshed until the last stream has ended.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	work.Go(func() {
		if err := b.catalog.run(background); err != nil {
			failed <- err
		}
	})
	work.Go(func() { trim(background, b.delivery.TakenOver, freeMemory) })
	// What requests under way wait for ends with them: closing a connection does not end them where the client has sent more
	// behind its request.
	requests, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	server.BaseContext = func(net.Listener) context.Context { return requests }
	sockets := bounded(main, b.settings.Sockets, b.logger)
	serve(&work, server, sockets, failed)
	adminServer := b.adminServer()
	if admin != nil {
		serve(&work, adminServer, admin, failed)
	}
	b.logger.Info("listening", "address", main.Addr().String())

	select {
	case err = <-failed:
	case <-ctx.Done():
		b.drain()
	}
	b.feed.Close()
	shutdown(server)
	giveUp()
	// Connections that were taken over are none of the server's: who does not take the last bytes is not waited for.
	last := time.AfterFunc(lastWrites, sockets.reset)
	b.delivery.Shutdown(lastWrites)
	b.handlers.Wait()
	last.Stop()
	shutdown(adminServer)
	return err
}

// drain lets streams go on for the drain window.
func (b *Bridge) drain() {
	b.feed.BeginDrain() // before anybody is told
	b.draining.Store(true)
	b.logger.Info("draining", "window", b.settings.DrainWindow, "streams", b.feed.Stats().Active)
	b.feed.Drain(b.settings.DrainWindow, lastWrites)
}
