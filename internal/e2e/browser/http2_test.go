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
// and all seven come back when that is cut.
func TestSevenTabsOverHTTP2(t *testing.T) {
	const size = 8192 // of an event: more than the pages and all that TLS and HTTP/2 say
	_, yaml := certificate(t)
	w := launch(t, yaml)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		p := cutproxy.Start(t, cutproxy.Options{Target: w.addr, Opaque: true})
		var tabs []tab
		for i := range 7 {
			name := fmt.Sprintf("%s-%d", b.Name, i)
			define(t, w.backend, name, 2, size)
			tabs = append(tabs, follow(t, b, "https://"+p.Addr(), blank, "/v1/earliest/"+name))
		}
		var protocol string
		tabs[0].Eval(patience, `return performance.getEntriesByType("navigation")[0].nextHopProtocol`, &protocol)
		if protocol != "h2" {
			t.Errorf("the page came by %q, want h2", protocol)
		}
		for _, x := range tabs {
			x.links(2)
		}
		if n := busy(p, size); n != 1 {
			t.Errorf("events came over %d connections, want 1: %v bytes", n, p.Traffic())
		}
		p.CutAll()
		for i, x := range tabs {
			w.backend.Append(fmt.Sprintf("%s-%d", b.Name, i), 2)
			if saw := x.links(4); saw.Errors == 0 || has(saw, "stream.reset") {
				t.Errorf("tab %d: %s; want a cut, and no reset", i, brief(saw))
			}
		}
		t.Logf("%d connections, %d of them with events; bytes: %v", p.Connections(), busy(p, size), p.Traffic())
	})
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
