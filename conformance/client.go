package conformance

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// question is a request as it goes out.
type question struct {
	method, target string
	headers        map[string]string
	body           *string
	http           string // see Step.HTTP
	plain          bool   // see Step.Plain
}

// smallWindow is how much of an HTTP/2 stream the client takes that does not read it.
const smallWindow = 64 << 10

// client makes the requests of one run.
type client struct {
	roots  *x509.CertPool
	shared map[string]*http.Transport // by question.http
}

func newClient(roots *x509.CertPool) *client {
	return &client{roots: roots, shared: map[string]*http.Transport{}}
}

// close ends the connections. The responses must have been closed.
func (c *client) close() {
	for _, t := range c.shared {
		t.CloseIdleConnections()
	}
}

// transport is one of its own for HTTP/1.1, which tells r its connection, and else the one of the run.
func (c *client) transport(version string, r *response) (*http.Transport, error) {
	if t := c.shared[version]; t != nil {
		return t, nil
	}
	t := &http.Transport{
		DisableCompression: true, Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12},
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: smallWindow},
	}
	switch version {
	case "":
		t.Protocols.SetHTTP1(true)
		t.DisableKeepAlives = true
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			r.conn = conn
			return conn, err
		}
		return t, nil
	case "h2":
		t.Protocols.SetHTTP2(true)
	case "h2c":
		t.Protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("http: %q is not known; there are h2 and h2c", version)
	}
	c.shared[version] = t
	return t, nil
}

// ask makes a request. The response must be closed.
func (c *client) ask(ctx context.Context, base string, q question) (*response, error) {
	r := &response{chunks: make(chan chunk), presented: q.headers["Last-Event-ID"], idle: func() {}}
	r.rules = invariants{
		presented: r.presented, hidden: strings.Contains(q.target, "sse.events="), poll: strings.Contains(q.target, "sse.wait="),
	}
	transport, err := c.transport(q.http, r)
	if err != nil {
		return nil, err
	}
	if q.http == "" {
		r.idle = transport.CloseIdleConnections
	}
	ctx, r.cancel = context.WithCancel(ctx)
	req, err := q.request(ctx, base)
	if err != nil {
		r.cancel()
		return nil, err
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		r.cancel()
		return nil, err
	}
	r.status, r.head, r.http2 = answer.StatusCode, answer.Header, answer.ProtoMajor == 2
	if len(answer.TransferEncoding) > 0 {
		r.head["Transfer-Encoding"] = answer.TransferEncoding // net/http takes it out
	}
	var isStream bool
	if r.form, isStream = formOf(answer, q.plain); !isStream {
		defer r.close()
		defer answer.Body.Close()
		r.body, r.done = io.ReadAll(io.LimitReader(answer.Body, maxBody))
		return r, nil
	}
	r.rules.form = r.form
	r.work.Go(func() { r.read(ctx, answer) })
	return r, nil
}

func (q question) request(ctx context.Context, base string) (*http.Request, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	var content io.Reader = http.NoBody
	if q.body != nil {
		content = strings.NewReader(*q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, base, content)
	if err != nil {
		return nil, err
	}
	req.URL = &url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: q.target} // the target goes out as it is written
	for name, value := range q.headers {
		if value != "" {
			req.Header[name] = []string{value}
		}
	}
	if _, named := q.headers["User-Agent"]; !named {
		req.Header.Set("User-Agent", "")
	}
	return req, nil
}

// read passes the body on as it comes, without its content coding.
func (r *response) read(ctx context.Context, answer *http.Response) {
	defer answer.Body.Close()
	body, err := decoded(answer)
	for {
		var c chunk
		if err == nil {
			buf := make([]byte, 4096)
			var n int
			n, err = body.Read(buf)
			c.data = buf[:n]
		}
		c.err = err
		select {
		case r.chunks <- c:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// decoded is the body of a response without its content coding.
func decoded(answer *http.Response) (io.Reader, error) {
	switch coding := answer.Header.Get("Content-Encoding"); coding {
	case "":
		return answer.Body, nil
	case "gzip":
		return gzip.NewReader(answer.Body)
	case "zstd":
		d, err := zstd.NewReader(answer.Body, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case "br":
		return brotli.NewReader(answer.Body), nil
	default:
		return nil, fmt.Errorf("the content coding %q is not known", coding)
	}
}
