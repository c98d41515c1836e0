package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// Times and bounds of the listeners.
const (
	// headerTimeout is for a TLS handshake, and again for the head of a request.
	headerTimeout = 5 * time.Second
	// readTimeout is for the whole request: also where nobody wants the body, net/http reads it before it answers.
	readTimeout = 15 * time.Second
	idleTimeout = 60 * time.Second
	// maxStreams is how many requests one HTTP/2 connection may have open: a browser has one connection for all tabs.
	maxStreams = 250
	// pingAfter and pingTimeout find dead HTTP/2 clients: one from which nothing came for pingAfter is asked whether it
	// still lives, and has pingTimeout to answer. Nothing else would tell: a client that only reads sends nothing.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second
)

func (b *Bridge) listen(ctx context.Context) (main, admin net.Listener, err error) {
	if main, err = delivery.Listen(ctx, b.settings.Listen, b.settings.WriteTimeout); err != nil {
		return nil, nil, fmt.Errorf("listen on %s (--listen): %w", b.settings.Listen, err)
	}
	b.addr = main.Addr()
	if b.settings.Admin != "" {
		if admin, err = new(net.ListenConfig).Listen(ctx, "tcp", b.settings.Admin); err != nil {
			_ = main.Close()
			return nil, nil, fmt.Errorf("listen on %s (--admin; \"off\" for none): %w", b.settings.Admin, err)
		}
		b.adminAddr = admin.Addr()
	}
	close(b.listening)
	return main, admin, nil
}

// mainServer serves clients: HTTP/1.1, and HTTP/2 by negotiation where there is TLS, with prior knowledge (h2c) where
// there is none.
func (b *Bridge) mainServer() (*http.Server, error) {
	server := newServer(b.handler, b.settings.HeaderBytes, b.logger)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: b.settings.WriteTimeout,
	}
	if b.settings.TLS == nil {
		server.Protocols.SetUnencryptedHTTP2(true)
		return server, nil
	}
	certificate, err := newCertificate(*b.settings.TLS, b.logger)
	if err != nil {
		return nil, err
	}
	server.Protocols.SetHTTP2(true)
	server.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: certificate.get,
		// Small records would only cut a batch of frames into more writes.
		DynamicRecordSizingDisabled: true,
	}
	return server, nil
}

// adminServer serves probes: plaintext HTTP/1.1.
func (b *Bridge) adminServer() *http.Server {
	return newServer(b.adminHandler(), config.DefaultHeaderBytes, b.logger)
}

// newServer is what both have in common. What clients do wrong is logged at the level of debugging.
func newServer(h http.Handler, headerBytes int, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler: h, ConnContext: delivery.ConnContext, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		Protocols: protocols, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// serve serves on ln, which is closed at the end.
func serve(work *sync.WaitGroup, server *http.Server, ln net.Listener, failed chan<- error) {
	run := server.Serve
	if server.TLSConfig != nil {
		run = func(ln net.Listener) error { return server.ServeTLS(ln, "", "") }
	}
	work.Go(func() {
		if err := run(ln); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving %s: %w", ln.Addr(), err)
		}
	})
}

// shutdown closes the listener, lets requests finish for a moment and then ends them. HTTP/2 clients are told to open no
// more on their connections (GOAWAY).
func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), lastWrites)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close()
	}
}
