package delivery_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func tlsClient(conn net.Conn, config *tls.Config) *tls.Conn {
	config = config.Clone()
	config.ServerName, config.NextProtos = "example.com", []string{"http/1.1"}
	return tls.Client(conn, config)
}

// http2Server serves h over HTTP/2, with TLS or without, and returns a client that keeps to one connection.
func http2Server(t *testing.T, secure bool, h http.HandlerFunc) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	listenAs(t, server)
	server.Config.Protocols = new(http.Protocols)
	transport := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true, Protocols: new(http.Protocols)}
	if secure {
		server.Config.Protocols.SetHTTP2(true)
		server.EnableHTTP2 = true
		server.StartTLS()
		transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
		transport.Protocols.SetHTTP2(true)
	} else {
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL, &http.Client{Transport: transport}
}

// overHTTP2 runs a test with TLS and without.
func overHTTP2(t *testing.T, test func(t *testing.T, secure bool)) {
	for name, secure := range map[string]bool{"h2": true, "h2c": false} {
		t.Run(name, func(t *testing.T) { test(t, secure) })
	}
}

func request(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.ProtoMajor != 2 {
		t.Fatalf("served over %s", response.Proto)
	}
	return response
}

func TestHTTP2(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		src := newSource()
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) { _ = options.serve(w, r, src) })
		response := request(t, client, url)
		if got := response.Header.Get("Connection"); got != "" {
			t.Errorf("Connection: %q", got)
		}
		got := make([]byte, len("opening\n\n"))
		if _, err := io.ReadFull(response.Body, got); err != nil {
			t.Fatal(err) // the opening comes at once
		}
		src.add("one\n\n")
		src.end()
		if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "one\n\n" {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// TestHTTP2SlowReaderIsReset: the write deadline ends the stream with a reset, and the connection lives on.
func TestHTTP2SlowReaderIsReset(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		slow, quick := newSource(), newSource()
		slow.add(strings.Repeat("x", 32<<20)) // more than the client takes without reading
		quick.add("one\n\n")
		quick.end()
		o := options
		o.WriteTimeout = 200 * time.Millisecond
		result := make(chan error, 1)
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/quick" {
				_ = options.serve(w, r, quick)
				return
			}
			result <- o.serve(w, r, slow)
		})
		response := request(t, client, url+"/slow")
		if err := <-result; err == nil {
			t.Error("Serve did not fail")
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Error("the cut response looks ended")
		}
		if slow.written != 0 {
			t.Error("what was not written counts as written")
		}
		if body, err := io.ReadAll(request(t, client, url+"/quick").Body); err != nil || string(body) != "opening\n\none\n\n" {
			t.Errorf("behind it: %q, %v", body, err)
		}
	})
}

// TestHTTP2QuietStreamLives: a deadline is for writes, and HTTP/2's would otherwise reset a stream that has nothing to say.
func TestHTTP2QuietStreamLives(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		src := newSource()
		o := options
		o.WriteTimeout = 20 * time.Millisecond
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) { _ = o.serve(w, r, src) })
		response := request(t, client, url)
		<-time.After(100 * time.Millisecond) // real sockets: there is no other clock
		src.add("one\n\n")
		src.end()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "opening\n\none\n\n" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// TestHTTP2StalledStreamHoldsUpNobody: seven tabs share a connection, and one of them does not read.
func TestHTTP2StalledStreamHoldsUpNobody(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		stalled, quick := newSource(), newSource()
		stalled.add(strings.Repeat("x", 32<<20))
		var stalledDone sync.WaitGroup
		stalledDone.Add(1)
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stalled" {
				defer stalledDone.Done()
				_ = options.serve(w, r, stalled)
				return
			}
			_ = options.serve(w, r, &reader{source: quick})
		})
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/stalled", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		tabs := make([]*http.Response, 6)
		for i := range tabs {
			tabs[i] = request(t, client, url+"/quick")
		}
		line := bytes.Repeat([]byte("y"), 1000)
		for range 200 {
			quick.add(string(line))
		}
		quick.end()
		want := len("opening\n\n") + 200*len(line)
		for i, tab := range tabs {
			if body, err := io.ReadAll(tab.Body); err != nil || len(body) != want {
				t.Errorf("tab %d: %d bytes, %v, want %d", i, len(body), err, want)
			}
		}
		leave()
		_ = response.Body.Close()
		stalledDone.Wait()
	})
}

// reader is one of several readers of a source.
type reader struct {
	*source
	at int
}

func (r *reader) Next(int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.at < len(r.frames):
		return r.frames[r.at], nil
	case r.ended:
		return nil, io.EOF
	default:
		return nil, nil
	}
}

func (r *reader) Written() { r.at++ }

// TestHTTP2CutIsAReset: what cannot be ended well is no end.
func TestHTTP2CutIsAReset(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		src := newSource()
		src.leaveErr = errors.New("cannot say so")
		o := chunked()
		kicked := make(chan struct{})
		o.Kicked = kicked
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) { _ = o.serve(w, r, src) })
		response := request(t, client, url)
		close(kicked)
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%q looks ended", body)
		}
	})
}

func TestHTTP2ClientThatLeaves(t *testing.T) {
	overHTTP2(t, func(t *testing.T, secure bool) {
		src := newSource()
		result := make(chan error, 1)
		url, client := http2Server(t, secure, func(w http.ResponseWriter, r *http.Request) { result <- options.serve(w, r, src) })
		response := request(t, client, url)
		_ = response.Body.Close()
		if err := <-result; err == nil {
			t.Error("Serve did not say that the client has gone")
		}
	})
}
