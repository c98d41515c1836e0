package bridgetest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// narrow is a connection for HTTP/1.1 to the bridge that holds little: the kernel's receive buffer has a fixed size.
func (w *world) narrow() net.Conn {
	w.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = setReceiveBuffer(fd, narrowBuffer) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := d.DialContext(guarded(w.t), "tcp", w.bridge.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if strings.HasPrefix(w.base, "https:") {
		config := w.client.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName, config.NextProtos = "127.0.0.1", []string{"http/1.1"}
		return tls.Client(conn, config)
	}
	return conn
}

const narrowBuffer = 16 << 10

// settle waits until the backend has not been able to send for a while, and returns how many messages it sent. On a slow
// machine that can be too early, and then the number is too small: no test fails by it.
func settle(t testing.TB, b *script.Backend, name string) uint64 {
	t.Helper()
	await(t, b, name, script.Begun(1))
	last, same := uint64(0), 0
	eventually(t, "the backend cannot send any more", func() bool {
		sent := b.Calls(name)[0].GetSent()
		if same++; sent != last {
			last, same = sent, 0
		}
		return same >= 250
	})
	return last
}

// A reader that stops reading stops the backend, after as much as the buffers on the way hold; when it reads on, it gets
// every message, in order.
func TestBackPressure(t *testing.T) {
	const (
		size  = 1 << 10
		total = 5_000
		log   = 64 << 10
		// What may be on the way: half the log, one write, the send buffer of the bridge's socket and the receive buffer
		// of the reader's (each counted twice, as Linux does), the window of the gRPC stream, and what grpc-go's server
		// takes from a handler before it waits. In messages of this size; the frames around them are a tenth more.
		most = (log/2 + 64<<10 + 2*(64<<10) + 2*narrowBuffer + 128<<10 + 64<<10) / size
	)
	b, address := scripted(t)
	w := start(t, upstreams(address)+"write_timeout: 600s\nrules: [{selector: demo.script.v1.ScriptService.Chain, "+
		"stream: {retention: {bytes: 65536}}}]\n")
	conn := w.narrow()
	if _, err := conn.Write([]byte("GET /v1/chain/slow?count=5000&size=1024 HTTP/1.1\r\nHost: bridge\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	sent := settle(t, b, "slow")
	t.Logf("the backend could send %d messages of %d bytes; at most %d fit into the buffers", sent, size, most)
	if sent > most || sent == 0 {
		t.Errorf("the backend could send %d messages to a reader that does not read, want 1 to %d", sent, most)
	}

	// The other readers of the bridge are not slowed.
	b.Define("hello", script.Note("hello"))
	w.get("/v1/play/hello").expect("note")

	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var chain script.Chain
	s := &stream{t: t, response: response, parser: sse.NewParser(response.Body, 0)}
	s.expect("stream.open")
	for range total {
		e := s.expect("link")
		if err := chain.Add(link(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	if chain.Last.GetN() != total {
		t.Errorf("the last link is %d, want %d", chain.Last.GetN(), total)
	}
	s.expect("stream.end", `"code":0`)
	s.over()
	if calls := b.Calls("slow"); len(calls) != 1 || calls[0].GetCancelled() {
		t.Errorf("calls %v", calls)
	}
	w.stop()
}

// link reads a link of a chain from an event.
func link(t testing.TB, e sse.Event) *scriptv1.ChainResponse {
	t.Helper()
	var m struct {
		Stream, Prev, Hash, Payload string
		N                           uint64 `json:",string"`
	}
	if err := json.Unmarshal([]byte(e.Data), &m); err != nil {
		t.Fatalf("%v: %s", err, e.Data)
	}
	return &scriptv1.ChainResponse{Stream: m.Stream, Prev: m.Prev, Hash: m.Hash, Payload: m.Payload, N: m.N}
}

// Nobody reads, but the call lingers: the backend is held back in the same way, and who comes back gets everything.
func TestBackPressureWithoutReaders(t *testing.T) {
	const most = (64<<10/2 + 128<<10 + 64<<10) / (1 << 10)
	b, address := scripted(t)
	w := start(t, upstreams(address)+"rules: [{selector: demo.script.v1.ScriptService.Chain, stream: {retention: {bytes: 65536}, linger: 3600s}}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	s := w.open(w.request("GET", "/v1/chain/away?count=1000&size=1024&every=0.001s", "").WithContext(ctx))
	first := s.expect("link", `"n":"1"`)
	cancel()
	eventually(t, "the reader has left", func() bool { return w.bridge.Stats().Readers == 0 })
	before := b.Calls("away")[0].GetSent()
	sent := settle(t, b, "away")
	t.Logf("%d messages when the reader left, %d at the end", before, sent)
	if sent > before+2*most {
		t.Errorf("the backend could send %d messages more to nobody, want at most %d", sent-before, 2*most)
	}
	s = w.get("/v1/chain/away?count=1000&size=1024&every=0.001s", from(first.ID))
	chain := script.Chain{Last: link(t, first)}
	for chain.Last.GetN() < 1000 {
		e := s.next()
		if e.Type == "stream.reset" {
			// What was written to the reader before it left is no longer unsent, and 64 KB of it are kept.
			chain.Last = nil
			t.Logf("reset: %s", e.Data)
			continue
		}
		if err := chain.Add(link(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	s.expect("stream.end", `"code":0`)
}

// A bridge that ends does not wait for a reader that takes nothing, however patient it is otherwise.
func TestStalledReaderDoesNotHoldTheBridge(t *testing.T) {
	b, address := scripted(t)
	w := start(t, upstreams(address)+"write_timeout: 600s\n")
	conn := w.narrow()
	if _, err := conn.Write([]byte("GET /v1/chain/stalled?count=5000&size=1024 HTTP/1.1\r\nHost: bridge\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	settle(t, b, "stalled")
	w.stop()
}
