// Package edge is the HTTP side of the bridge: it finds the method that a request means, binds the request to a message,
// and turns one request into one subscription or one unary call. What a client is told of an error is decided in
// package outcome, and which bytes it is sent in feed and delivery.
package edge

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// Options are what an edge is made with.
type Options struct {
	// Feed holds the streams.
	Feed *feed.Feed
	// Upstreams are the backends by name.
	Upstreams map[string]*upstream.Upstream
	// Forwarder picks the request headers that backends get.
	Forwarder *access.Forwarder
	// Principals tells who sends a request. Nil means that every request is anonymous.
	Principals *access.Principals
	// Connections bounds the streams that are served at once.
	Connections *access.Connections
	// Peers tells the address of a client. Nil means that it is not looked at.
	Peers *access.Peers
	// Keyer makes the keys of shared calls.
	Keyer *access.Keyer
	// Compression are the encodings that streams are offered in, best first. Empty for none.
	Compression []string
	// ResponseMetadata are the names of the backend's metadata that unary responses carry.
	ResponseMetadata []string
	// UnaryTimeout is the deadline of unary calls; 0 is none.
	UnaryTimeout time.Duration
	// Delivery serves the streams.
	Delivery *delivery.Server
	// OpenWindow is how long a response waits for the backend's first sign of life; 0 does not wait.
	OpenWindow time.Duration
	// RequestBytes bounds a request's body.
	RequestBytes int64
	// Logger gets a line for what goes wrong. Nil means none.
	Logger *slog.Logger
}

// Edge is an http.Handler. It answers "starting" until SetTable is called.
type Edge struct {
	Options
	router atomic.Pointer[router]

	// mu makes changes of the table follow one another, and guards encoders: each method's newest, kept when it is gone
	// since calls of it may go on.
	mu       sync.Mutex
	encoders map[protoreflect.FullName]*atomic.Pointer[transcode.Encoder]
}

// New makes an edge without routes.
func New(o Options) *Edge {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Edge{Options: o, encoders: map[protoreflect.FullName]*atomic.Pointer[transcode.Encoder]{}}
	e.router.Store(&router{known: newKnownPaths()})
	return e
}

// SetTable routes by t from now on. complete says that every upstream's schema has been loaded at least once: until
// then a path without a route may still get one. Requests under way keep what they began with.
func (e *Edge) SetTable(t *schema.Table, complete bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.newRouter(t, complete)
	if err != nil {
		return err
	}
	for name, encoder := range r.encoders {
		if slot := e.encoders[name]; slot != nil { // it has a route
			slot.Store(encoder)
		}
	}
	e.router.Store(r)
	return nil
}

// ServeHTTP answers one request.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case isPrefetch(r):
		outcome.Problem{Status: http.StatusServiceUnavailable, Detail: "streams are not prefetched"}.Write(w)
	case r.URL.Path == cancelPath:
		e.serveCancel(w, r)
	case r.URL.Path == ackPath:
		e.serveAck(w, r)
	case strings.HasPrefix(r.URL.Path, "/sse."):
		outcome.Problem{
			Status: http.StatusNotFound, Code: codes.NotFound,
			Detail: "paths under /sse. are the bridge's own, and this is none of them; there are " + cancelPath + " and " + ackPath,
		}.Write(w)
	default:
		e.serve(e.router.Load(), w, r)
	}
}

// isPrefetch reports whether a browser only guesses that the response will be wanted.
func isPrefetch(r *http.Request) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if values := r.Header[name]; len(values) != 0 && strings.Contains(values[0], "prefetch") {
			return true
		}
	}
	return false
}
