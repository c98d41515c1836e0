package browser_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

// certificate is a certificate for 127.0.0.1 that nobody vouches for, also in files, as config.
func certificate(t *testing.T) (pair tls.Certificate, yaml string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pair = server.TLS.Certificates[0]
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
	return pair, "tls: {cert_file: " + filepath.Join(dir, "cert.pem") + ", key_file: " + filepath.Join(dir, "key.pem") + "}\n"
}

// Seven tabs with a stream each: on HTTP/1.1 the seventh would wait. On HTTP/2 all are open at once, over one connection,
// and all seven come back when that is cut, and when the bridge is started again.
func TestSevenTabsOverHTTP2(t *testing.T) {
	const size = 8192 // of an event: more than the pages and all that TLS and HTTP/2 say
	_, yaml := certificate(t)
	w := launch(t, yaml)
	onCut := readFacts(t)["an HTTP/2 connection that is cut"]
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		p := cutproxy.Start(t, cutproxy.Options{Target: w.addr, Opaque: true})
		s := seven(t, w, b, "https://"+p.Addr(), size)
		if n := busy(p, size); n != 1 {
			t.Errorf("events came over %d connections, want 1: %v bytes", n, p.Traffic())
		}
		if onCut[b.Name] == "asks again" {
			p.CutAll()
			s.goOn(t)
		}
		w.stopBridge()
		w.startBridge()
		s.goOn(t)
		if onCut[b.Name] == "is not noticed" {
			p.CutAll()
			if saw := s.tabs[0].within(3*time.Second, "seen.errors > 1"); saw.Errors > 1 {
				t.Errorf("%s: the cut was noticed: the browser was mended, say so in docs/browsers.md", brief(saw))
			}
		}
		t.Logf("%d connections, %d of them with events; bytes: %v", p.Connections(), busy(p, size), p.Traffic())
	})
}

// tabs are pages with a stream each.
type tabs struct {
	backend *script.Backend
	logs    []string
	tabs    []tab
	events  uint64 // so many each has
}

// seven opens seven tabs and waits until each has two events.
func seven(t *testing.T, w *world, b *browser.Browser, origin string, size uint32) *tabs {
	t.Helper()
	s := &tabs{backend: w.backend, events: 2}
	for i := range 7 {
		name := fmt.Sprintf("%s-%d", b.Name, i)
		define(t, w.backend, name, s.events, size)
		s.logs = append(s.logs, name)
		s.tabs = append(s.tabs, follow(t, b, origin, blank, "/v1/earliest/"+name))
	}
	var protocol string
	s.tabs[0].Eval(patience, `return performance.getEntriesByType("navigation")[0].nextHopProtocol`, &protocol)
	if protocol != "h2" {
		t.Errorf("the page came by %q, want h2", protocol)
	}
	for _, x := range s.tabs {
		x.links(int(s.events))
	}
	return s
}

// goOn adds two events to each stream and waits until they are there.
func (s *tabs) goOn(t *testing.T) {
	t.Helper()
	s.events += 2
	for i, x := range s.tabs {
		s.backend.Append(s.logs[i], 2)
		if saw := x.links(int(s.events)); saw.Errors == 0 || has(saw, "stream.reset") {
			t.Errorf("tab %d: %s; want that it came back, and no reset", i, brief(saw))
		}
	}
}

// busy is how many connections brought more than so many bytes.
func busy(p *cutproxy.Proxy, bytes int) (n int) {
	for _, brought := range p.Traffic() {
		if brought > bytes {
			n++
		}
	}
	return n
}
