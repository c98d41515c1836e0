package cutproxy_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

// secure is a server that speaks TLS, and a client that trusts it.
func secure(t *testing.T) (*httptest.Server, *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stays" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return server, server.Client()
}

// Under TLS, too, it is the response's bytes that are counted.
func TestCutsUnderTLS(t *testing.T) {
	server, client := secure(t)
	p := cutproxy.Start(t, cutproxy.Options{
		Target: target(t), TLS: &tls.Config{Certificates: server.TLS.Certificates},
		Plan: func(*http.Request) *cutproxy.Cut { return &cutproxy.Cut{After: 4, Body: true} },
	})
	if !strings.HasPrefix(p.Origins()[0], "https://") {
		t.Errorf("origin %q", p.Origins()[0])
	}
	response, err := client.Get(p.Origins()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); string(got) != body[:4] || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v; want %q, %v", got, err, body[:4], syscall.ECONNRESET)
	}
}

// What the proxy does not look at it counts and cuts all the same.
func TestOpaque(t *testing.T) {
	server, client := secure(t)
	p := cutproxy.Start(t, cutproxy.Options{Target: server.Listener.Addr().String(), Opaque: true})
	response, err := client.Get("https://" + p.Addr() + "/stays")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got := make([]byte, len(body))
	if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != body {
		t.Fatalf("%q, %v; want %q", got, err, body)
	}
	if traffic := p.Traffic(); len(traffic) != 1 || traffic[0] < len(body) || p.Connections() != 1 || len(p.Exchanges()) != 0 {
		t.Errorf("traffic %v, %d connections, %d exchanges", traffic, p.Connections(), len(p.Exchanges()))
	}
	p.CutAll()
	if _, err := response.Body.Read(got); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: %v, want %v", err, syscall.ECONNRESET)
	}
}
