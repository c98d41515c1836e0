// Package page shows the demo's streams in a browser: a page of plain HTML and ES modules, and the server behind it.
//
// Everything is on one port. What the page asks of the bridge goes through the server to the bridge, byte for byte, so
// that two things become possible that a page cannot do alone: see the bytes as they came over the wire, and cut its own
// connection in the middle of them.
package page

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// csp allows the page's own files and nothing else: no inline script, no inline style, no other origin.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Options say how a Page works.
type Options struct {
	// Bridge is where the bridge listens, HOST:PORT. Required.
	Bridge string
	// Logger receives what goes wrong between the page and the bridge. Default: nothing is logged.
	Logger *slog.Logger
}

// Page serves the page, its tools under /demo/, and everything else from the bridge. It is safe for concurrent use.
type Page struct {
	bridge string
	log    *slog.Logger
	files  http.Handler
	tools  http.Handler
	taps   taps

	ended context.Context // ends when the Page does
	end   context.CancelFunc

	// mu makes sure that nothing is added to running once ended has ended, because Close waits for running.
	mu      sync.Mutex
	running sync.WaitGroup // requests, and what they started
}

// New returns a Page. Close it, or let Serve do so.
func New(o Options) *Page {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	p := &Page{bridge: o.Bridge, log: o.Logger, files: http.FileServerFS(files)}
	p.ended, p.end = context.WithCancel(context.Background())
	tools := http.NewServeMux()
	tools.HandleFunc("GET /demo/wire", p.serveWire)
	tools.HandleFunc("POST /demo/cut", p.serveCut)
	// Other sites' pages must not cut connections here.
	p.tools = http.NewCrossOriginProtection().Handler(tools)
	return p
}

// ServeHTTP answers one request. The server must speak HTTP/1.1 over TCP: connections to the bridge are taken over.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		http.Error(w, "the demo is stopping", http.StatusServiceUnavailable)
		return
	}
	defer p.running.Done()
	switch path := r.URL.Path; {
	case path == "/" || strings.HasPrefix(path, "/static/"):
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		http.StripPrefix("/static", p.files).ServeHTTP(w, rooted(r))
	case strings.HasPrefix(path, "/demo/"):
		p.tools.ServeHTTP(w, r)
	default:
		p.proxy(w, r)
	}
}

func (p *Page) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.Err() != nil {
		return false
	}
	p.running.Add(1)
	return true
}

// whenEnded calls f when the Page ends, unless the function that it returns was called before.
func (p *Page) whenEnded(f func()) (unhook func() bool) { return context.AfterFunc(p.ended, f) }

// rooted lets the page at / be found beside its files, which are under /static/.
func rooted(r *http.Request) *http.Request {
	if r.URL.Path != "/" {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path = "/static/"
	return r
}

// Serve serves on l until ctx ends, and then closes all connections at once: end it after the bridge, whose last frames
// pass through here. It closes l. The error is nil when ctx ended it.
func (p *Page) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	unhook := context.AfterFunc(ctx, func() { _ = s.Close() })
	err := s.Serve(l)
	byContext := !unhook()
	_ = s.Close()
	p.Close()
	if byContext && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the connections that the Page has taken over, and waits for all requests.
func (p *Page) Close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.running.Wait()
}
