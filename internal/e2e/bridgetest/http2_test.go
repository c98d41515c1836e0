package bridgetest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// certificate is a certificate for 127.0.0.1 in files, as config, and who trusts it.
func certificate(t *testing.T) (yaml string, trust *x509.CertPool) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust = x509.NewCertPool()
	trust.AddCert(server.Certificate())
	return "tls: {cert_file: " + filepath.Join(dir, "cert.pem") + ", key_file: " + filepath.Join(dir, "key.pem") + "}\n", trust
}

// way is how a client speaks to the bridge. The zero value is HTTP/1.1 in plaintext.
type way struct {
	tls   bool
	proto string
	set   func(*http.Protocols)
}

// onEveryWay runs a test once for each way. What a stream promises does not depend on it, but what writes the stream
// does: the bridge takes HTTP/1.1 connections in plaintext over from the HTTP server, and no others.
func onEveryWay(t *testing.T, test func(*testing.T, way)) {
	t.Helper()
	for name, v := range ways {
		t.Run(name, func(t *testing.T) { test(t, v) })
	}
}

// startOn is start with a client that speaks in this way. It keeps HTTP/2 connections, as browsers do, and no others.
func startOn(t *testing.T, v way, yaml string) *world {
	t.Helper()
	if v.set == nil {
		return start(t, yaml)
	}
	w, _ := startFor(t, v, yaml)
	w.client.Transport.(*http.Transport).DisableKeepAlives = v.proto == "HTTP/1.1"
	return w
}

var ways = map[string]way{
	"HTTP/1.1":            {false, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
	"HTTP/1.1 over TLS":   {true, "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
	"HTTP/2 over TLS":     {true, "HTTP/2.0", func(p *http.Protocols) { p.SetHTTP1(true); p.SetHTTP2(true) }},
	"HTTP/2 in plaintext": {false, "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
}

// startFor starts a bridge for clients that speak in this way, and makes its client one that keeps its connections. dials
// is how many it has opened.
func startFor(t *testing.T, v way, yaml string) (w *world, dials *atomic.Int64) {
	t.Helper()
	dials = new(atomic.Int64)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	v.set(transport.Protocols)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if v.tls {
		more, trust := certificate(t)
		yaml += more
		transport.TLSClientConfig = &tls.Config{RootCAs: trust}
	}
	t.Cleanup(transport.CloseIdleConnections) // after the bridge has ended
	w = start(t, yaml)
	if v.tls {
		w.base = strings.Replace(w.base, "http:", "https:", 1)
	}
	admin := w.client
	w.client = &http.Client{Transport: transport}
	t.Cleanup(admin.CloseIdleConnections)
	return w, dials
}

// Whatever version of HTTP a client speaks, a stream arrives, is resumed where it was cut, and ends for good.
func TestEveryVersionOfHTTP(t *testing.T) {
	for name, v := range ways {
		t.Run(name, func(t *testing.T) {
			b, address := scripted(t)
			b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
			w, _ := startFor(t, v, upstreams(address))
			first := w.get("/v1/play/run?stream=s")
			if got := first.response.Proto; got != v.proto {
				t.Errorf("the stream came by %s, want %s", got, v.proto)
			}
			first.expect("note", `"text":"a"`)
			first.leave()
			back := w.get("/v1/play/run?stream=s", from(first.lastID))
			if !back.openData().Resumed {
				t.Error("not resumed")
			}
			b.Open("go on")
			back.expect("note", `"text":"b"`)
			back.expect("stream.end", `"code":0`)
			back.over()
			if a := w.do("GET", "/v1/play/run?stream=s", "", from(back.lastID)); a.status != http.StatusNoContent {
				t.Errorf("after the end: %d, want 204", a.status)
			}
			if n := len(b.Calls("s")); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
			w.stop()
		})
	}
}

// A browser's tabs share one HTTP/2 connection, so that its limit of six for a host does not count: seven streams at once,
// each with events of its own, and one that is left does not disturb the others.
func TestStreamsOnOneConnection(t *testing.T) {
	for _, name := range []string{"HTTP/2 over TLS", "HTTP/2 in plaintext"} {
		t.Run(name, func(t *testing.T) {
			b, address := scripted(t)
			b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
			w, dials := startFor(t, ways[name], upstreams(address))
			var tabs []*stream
			for i := range 7 {
				tabs = append(tabs, w.get("/v1/play/run?stream="+strconv.Itoa(i)))
			}
			for _, tab := range tabs {
				tab.expect("note", `"text":"a"`)
			}
			tabs[3].leave()
			eventually(t, "one reader has left", func() bool { return w.bridge.Stats().Readers == 6 })
			b.Open("go on")
			for i, tab := range tabs {
				if i == 3 {
					continue
				}
				tab.expect("note", `"text":"b"`)
				tab.expect("stream.end", `"code":0`)
				tab.over()
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			w.stop()
		})
	}
}

// A client that stays on its connection would never reach the bridge that takes over: while the bridge drains, HTTP/2
// clients are asked to open another, and streams that may stay do.
func TestDrainOverHTTP2(t *testing.T) {
	for _, name := range []string{"HTTP/2 over TLS", "HTTP/2 in plaintext"} {
		t.Run(name, func(t *testing.T) {
			b, address := scripted(t)
			b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
			w, dials := startFor(t, ways[name], upstreams(address)+"drain_window: 3600s\n")
			running := w.post("/v1/play", `{"script":"run","stream":"running"}`)
			running.expect("note", `"text":"a"`)
			w.cancel()
			w.log.await(t, "draining")
			for range 2 {
				a := w.do("GET", "/v1/play/run?stream=new", "", asEventSource)
				a.busy(t, "drain")
				if a.header.Get("Connection") != "" {
					t.Error("HTTP/2 has no header Connection")
				}
			}
			if n := dials.Load(); n < 2 {
				t.Errorf("%d connection: the client was not asked to open another", n)
			}
			b.Open("go on")
			running.expect("note", `"text":"b"`)
			running.expect("stream.end", `"code":0`)
			running.over()
			w.wait()
		})
	}
}

// At the window's end streams on HTTP/2 and TLS end as all others do, and the bridge does not wait for their connections.
func TestDrainWindowEndsOnEveryVersionOfHTTP(t *testing.T) {
	for name, v := range ways {
		t.Run(name, func(t *testing.T) {
			b, address := scripted(t)
			b.Define("run", script.Note("a"), script.Gate("never"))
			w, _ := startFor(t, v, upstreams(address))
			restart := w.get("/v1/play/run?stream=restart")
			end := w.post("/v1/play", `{"script":"run","stream":"end"}`)
			restart.expect("note")
			end.expect("note")
			w.cancel()
			restart.expect("stream.busy", `{"reason":"drain"}`)
			restart.over()
			end.expect("stream.end", `"code":14`, "shutting down")
			end.over()
			w.wait()
		})
	}
}

// A tab that stops reading is reset after the write timeout, which its neighbours on the same connection do not notice.
func TestSlowTab(t *testing.T) {
	for _, name := range []string{"HTTP/2 over TLS", "HTTP/2 in plaintext"} {
		t.Run(name, func(t *testing.T) {
			b, address := scripted(t)
			b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
			w, dials := startFor(t, ways[name], upstreams(address)+"write_timeout: 1s\n")
			w.client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
			slow := w.get("/v1/chain/slow?count=5000&size=1024")
			tab := w.get("/v1/play/run?stream=tab")
			tab.expect("note", `"text":"a"`)
			eventually(t, "the slow reader has gone", func() bool { return w.bridge.Stats().Readers == 1 })
			if _, err := io.Copy(io.Discard, slow.response.Body); err == nil {
				t.Error("the stream that was cut looks as if it had ended")
			}
			b.Open("go on")
			tab.expect("note", `"text":"b"`)
			tab.expect("stream.end", `"code":0`)
			tab.over()
			if n := dials.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			w.stop()
		})
	}
}
