package delivery_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// deaf is a client's connection that stops reading.
type deaf struct {
	net.Conn
	stopped atomic.Bool
	closed  chan struct{}
	once    sync.Once
}

func (d *deaf) Read(b []byte) (int, error) {
	if d.stopped.Load() {
		<-d.closed
		return 0, net.ErrClosed
	}
	return d.Conn.Read(b)
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Conn.Close()
}

// TestHTTP2ConnectionThatIsNotRead: where the client reads nothing at all, the stream's deadline alone does not help,
// since its reset waits behind what cannot be written; net/http's WriteByteTimeout does, and else, on Linux, the
// TCP_USER_TIMEOUT of Listen.
func TestHTTP2ConnectionThatIsNotRead(t *testing.T) {
	src := newSource()
	o := options
	o.WriteTimeout = 100 * time.Millisecond
	result := make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result <- o.serve(w, r, src)
	}))
	listenAs(t, server)
	server.Config.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 100 * time.Millisecond}
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()

	client := &deaf{closed: make(chan struct{})}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	transport.DialContext = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		client.Conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := client.Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10) // else the kernel reads for it
		}
		return client, err
	}
	response, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client.stopped.Store(true)
	src.add(strings.Repeat("x", 2<<20)) // less than HTTP/2's own flow control lets through
	if err := <-result; err == nil {
		t.Error("Serve did not fail")
	}
	_ = client.Close()
	_ = response.Body.Close()
}
