package baseline_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/baseline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each reader gets each event once, in order, from where it begins, and those of its stream only.
func TestDelivery(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.Handler
		keeps   bool
	}{
		"channels": {baseline.NewChannels(), false},
		"ring":     {baseline.NewRing(), true},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, c.handler)
			early := []*bufio.Reader{subscribe(t, address+"/sub/a"), subscribe(t, address+"/sub/a")}
			other := subscribe(t, address+"/sub/b")
			publish(t, address+"/pub/a", "1", "2")
			late := subscribe(t, address+"/sub/a")
			publish(t, address+"/pub/a", "3")
			publish(t, address+"/pub/b", "4")
			for _, reader := range early {
				expect(t, reader, "1", "2", "3")
			}
			expect(t, late, "3")
			expect(t, other, "4")
			if c.keeps {
				expect(t, subscribe(t, address+"/sub/a?from=first"), "1", "2", "3")
			}
		})
	}
}

// A publisher does not wait for readers that left.
func TestGone(t *testing.T) {
	address := serve(t, baseline.NewChannels())
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/sub/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	response.Body.Close()
	for i := range 1000 { // more than a channel and socket buffers hold together is not needed: the reader is gone
		publish(t, address+"/pub/a", fmt.Sprint(i))
	}
}

func TestTLS(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- baseline.Serve(ctx, listener, http.NotFoundHandler(), true) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := new(tls.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err == nil {
		conn.Close()
		t.Fatal("a certificate that nobody knows was accepted")
	}
	unknown, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		t.Fatalf("got %v, want an unknown certificate", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(unknown.UnverifiedCertificates[0])
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}}
	conn, err = dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("protocol %q, want h2", got)
	}
}

func serve(t *testing.T, handler http.Handler) string {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- baseline.Serve(ctx, listener, handler, false) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func subscribe(t *testing.T, url string) *bufio.Reader {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("%s: %s, %s", url, response.Status, got)
	}
	return bufio.NewReader(response.Body)
}

func publish(t *testing.T, url string, events ...string) {
	for _, event := range events {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(event))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %s", url, response.Status)
		}
	}
}

func expect(t *testing.T, reader *bufio.Reader, events ...string) {
	t.Helper()
	for _, event := range events {
		for _, want := range []string{"data: " + event + "\n", "\n"} {
			if got, err := reader.ReadString('\n'); got != want || err != nil {
				t.Fatalf("got %q, %v, want %q", got, err, want)
			}
		}
	}
}
