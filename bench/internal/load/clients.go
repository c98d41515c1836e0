package load

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

// Form is how ordinary clients connect.
type Form struct {
	HTTP2    bool   // else HTTP/1.1
	TLS      bool   // any certificate is good
	Encoding string // gzip, zstd, or "" for none
}

// OpenClients is Open with a client of its own, as a browser has, for each subscriber: with goroutines, TLS and
// decompression. Deaf, Loops and Own do not apply.
func OpenClients(ctx context.Context, c Config, f Form) (*Readers, error) {
	c.setDefaults()
	r := newReaders(&c)
	t := newTally(c.First, c.Latency, true, r.wake)
	t.readers = c.Conns
	r.tallies = []*tally{t}
	reading, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	pending := make(chan struct{}, c.Pending)
	for n := range c.Conns {
		running.Go(func() {
			err := readAs(reading, reader{n: n, next: c.First, state: inBody}, t, &c, f, pending)
			if reading.Err() == nil {
				t.mu.Lock()
				t.fail(n, err)
				t.unlock()
			}
		})
	}
	r.close = func() {
		stop()
		running.Wait()
	}
	if err := r.opened(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// readAs is one client: it connects, and reads until its response ends.
func readAs(ctx context.Context, r reader, t *tally, c *Config, f Form, pending chan struct{}) error {
	transport := f.transport(&t.wire)
	defer transport.CloseIdleConnections()
	select {
	case pending <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	response, err := ask(ctx, transport, c.Request(r.n), c.Addr, f)
	<-pending
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the response is %s", response.Status)
	}
	if got := response.Header.Get("Content-Encoding"); got != f.Encoding {
		return fmt.Errorf("the response is encoded as %q", got)
	}
	t.mu.Lock()
	t.head()
	t.unlock()
	body, err := f.decoded(response.Body)
	if err != nil {
		return err
	}
	buffer := make([]byte, 16<<10)
	for {
		n, err := body.Read(buffer)
		t.mu.Lock()
		r.feed(t, buffer[:n], event.Now())
		t.unlock()
		if errors.Is(err, io.EOF) {
			return errEnd
		}
		if err != nil {
			return err
		}
	}
}

// ask sends a request that was written for HTTP/1.1.
func ask(ctx context.Context, transport *http.Transport, raw []byte, addr string, f Form) (*http.Response, error) {
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	request = request.WithContext(ctx)
	request.RequestURI = ""
	request.URL.Scheme, request.URL.Host = "http", addr
	if f.TLS {
		request.URL.Scheme = "https"
	}
	if f.Encoding != "" {
		request.Header.Set("Accept-Encoding", f.Encoding)
	}
	return transport.RoundTrip(request)
}

func (f Form) transport(wire *atomic.Uint64) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!f.HTTP2)
	protocols.SetHTTP2(f.HTTP2 && f.TLS)
	protocols.SetUnencryptedHTTP2(f.HTTP2 && !f.TLS)
	return &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // self-signed, made for this run
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &counted{conn, wire}, nil
		},
	}
}

// decoded is the body without its encoding.
func (f Form) decoded(body io.Reader) (io.Reader, error) {
	switch f.Encoding {
	case "gzip":
		return gzip.NewReader(body)
	case "zstd":
		return zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	default:
		return body, nil
	}
}

// counted counts what arrives.
type counted struct {
	net.Conn
	wire *atomic.Uint64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.Add(uint64(n))
	return n, err
}
