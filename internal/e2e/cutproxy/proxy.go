// Package cutproxy is a TCP proxy for tests that cuts HTTP/1 responses at an exact byte.
//
// It passes bytes on as they are and writes down all of them. It reads only as much HTTP as it needs to tell one
// exchange (a request and its response) from the next on a connection that is used again. Pipelining and request
// bodies without a Content-Length are not understood: browsers and our clients send neither.
package cutproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Cut is where a response ends before its time.
type Cut struct {
	// After is how many bytes are passed on first. At 0 the connection is cut when the request has been read.
	After int
	// Body counts After from the first byte behind the response's head.
	Body bool
	// Close ends the connection as a server does that is done (FIN). Default: a reset (RST).
	Close bool
}

// Options are what a proxy is started with.
type Options struct {
	// Target is where connections are forwarded to, HOST:PORT.
	Target string
	// Plan decides, for each request before it is forwarded, where its response is cut; nil for not at all. It is called
	// from one goroutine per connection. Default: nothing is cut.
	Plan func(*http.Request) *Cut
	// Pages are documents that the proxy answers itself, by path: a browser needs a page of the target's origin.
	Pages map[string]string
	// TLS is how to speak TLS to clients; the target is spoken to in plaintext. Leave its NextProtos empty: what is cut is
	// HTTP/1. Default: plaintext.
	TLS *tls.Config
	// Opaque passes bytes on without a look at them, in plaintext or not: HTTP/2, or TLS that the target ends. There are
	// no exchanges then, nothing is cut but by CutAll, and Plan, Pages and TLS are not used.
	Opaque bool
	// Hosts is how many loopback addresses to listen on, all with the same port: 127.0.0.1, 127.0.0.2, … Browsers open
	// six connections per host, so more hosts let more streams run at once. Default 1.
	Hosts int
}

// Exchange is one request and what was passed on of its response.
type Exchange struct {
	Conn     int    // number of the connection it was on, from 1
	Request  []byte // the request's head
	Response []byte // raw: head, and body with its chunk sizes
	Cut      bool   // whether the plan's cut was made
}

// Proxy is a running proxy. Its methods may be called from any goroutine.
type Proxy struct {
	options Options
	port    int

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	open      map[net.Conn]bool
	accepted  int
	traffic   []int // by number of the connection, from 0
	exchanges []*Exchange
	wg        sync.WaitGroup
}

// Start starts a proxy that lives as long as the test.
func Start(t testing.TB, o Options) *Proxy {
	t.Helper()
	if o.Plan == nil {
		o.Plan = func(*http.Request) *Cut { return nil }
	}
	o.Hosts = max(o.Hosts, 1)
	p := &Proxy{options: o, open: map[net.Conn]bool{}}
	if err := p.listen(t.Context()); err != nil {
		t.Fatalf("cutproxy: %v", err)
	}
	for _, l := range p.listeners {
		p.wg.Go(func() { p.accept(l) })
	}
	t.Cleanup(p.close)
	return p
}

// listen takes a free port that is free on every host.
func (p *Proxy) listen(ctx context.Context) error {
	var config net.ListenConfig
	var last error
	for range 20 {
		port := "0"
		for n := range p.options.Hosts {
			l, err := config.Listen(ctx, "tcp4", net.JoinHostPort(host(n), port))
			if err != nil {
				last = err
				break
			}
			p.listeners = append(p.listeners, l)
			p.port = l.Addr().(*net.TCPAddr).Port
			port = strconv.Itoa(p.port)
		}
		if len(p.listeners) == p.options.Hosts {
			return nil
		}
		for _, l := range p.listeners {
			_ = l.Close()
		}
		p.listeners = nil
	}
	return fmt.Errorf("no port is free on %d hosts: %w", p.options.Hosts, last)
}

func host(n int) string { return fmt.Sprintf("127.0.0.%d", n+1) }

// Addr is HOST:PORT of the first host.
func (p *Proxy) Addr() string { return net.JoinHostPort(host(0), strconv.Itoa(p.port)) }

// Origins are the origins (http://HOST:PORT, or https where there is TLS) of all hosts. An Opaque proxy does not know.
func (p *Proxy) Origins() []string {
	scheme := "http://"
	if p.options.TLS != nil {
		scheme = "https://"
	}
	origins := make([]string, p.options.Hosts)
	for n := range origins {
		origins[n] = scheme + net.JoinHostPort(host(n), strconv.Itoa(p.port))
	}
	return origins
}

// Traffic is how many bytes each connection has brought to its client so far, in the order in which they were accepted.
// Only an Opaque proxy counts.
func (p *Proxy) Traffic() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.traffic)
}

// Connections is how many connections were accepted so far.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Exchanges are copies of all exchanges so far, in the order of their requests; requests for Pages are not among them.
func (p *Proxy) Exchanges() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Exchange, len(p.exchanges))
	for i, e := range p.exchanges {
		all[i] = *e
		all[i].Response = append([]byte(nil), e.Response...)
	}
	return all
}

// CutAll resets every open connection, as a network that goes away.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		reset(conn)
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		_ = l.Close()
	}
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept(l net.Listener) {
	var dialer net.Dialer
	for {
		down, err := l.Accept()
		if err != nil {
			return
		}
		up, err := dialer.Dial("tcp", p.options.Target)
		if err != nil {
			_ = down.Close() // what a client of a dead target sees
			continue
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			_, _ = down.Close(), up.Close()
			return
		}
		if p.options.TLS != nil {
			down = tls.Server(down, p.options.TLS)
		}
		p.accepted++
		p.traffic = append(p.traffic, 0)
		p.open[down], p.open[up] = true, true
		link := &link{proxy: p, number: p.accepted, down: down, up: up}
		p.mu.Unlock()
		if p.options.Opaque {
			p.wg.Go(func() { link.copy(up, down) })
			p.wg.Go(func() { link.copy(down, up) })
			continue
		}
		p.wg.Go(link.requests)
		p.wg.Go(link.responses)
	}
}

// reset closes conn with RST instead of FIN. What was written before is on its way already: on loopback the other end
// has it in its receive buffer and reads it before it sees the reset.
func reset(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	err := conn.(*net.TCPConn).SetLinger(0)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		panic(err)
	}
	_ = conn.Close()
}
