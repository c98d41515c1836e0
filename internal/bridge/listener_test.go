package bridge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

// front serves h as the bridge's main listener does, in memory.
func front(t *testing.T, h http.Handler, files *config.TLS) *bufconn.Listener {
	t.Helper()
	server, err := bridge.NewServer(h, files)
	if err != nil {
		t.Fatal(err)
	}
	ln := bufconn.Listen(64 << 10)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if files == nil {
			_ = server.Serve(ln)
		} else {
			_ = server.ServeTLS(ln, "", "")
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		pass(time.Second) // net/http lingers on what it has refused to read
	})
	return ln
}

// transport speaks one version of HTTP to ln.
func transport(t *testing.T, ln *bufconn.Listener, set func(*http.Protocols)) *http.Transport {
	t.Helper()
	tr := &http.Transport{
		Protocols:       new(http.Protocols),
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return ln.DialContext(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate signs itself
		// bufconn may take a deadline that net/http has lifted between two requests for one that has passed.
		DisableKeepAlives: true,
	}
	set(tr.Protocols)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// ways are how clients can speak to the bridge.
var ways = map[string]struct {
	url   string
	proto string
	set   func(*http.Protocols)
}{
	"HTTP/1.1":            {"http://bridge.test/", "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
	"HTTP/1.1 over TLS":   {"https://bridge.test/", "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
	"HTTP/2 over TLS":     {"https://bridge.test/", "HTTP/2.0", func(p *http.Protocols) { p.SetHTTP2(true) }},
	"HTTP/2 in plaintext": {"http://bridge.test/", "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
}

// everyWay runs a test with a client of each kind.
func everyWay(t *testing.T, h http.Handler, test func(t *testing.T, client *http.Client, url, proto string)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var files *config.TLS
				if strings.HasPrefix(way.url, "https:") {
					files = new(issue(t, dir, "bridge"))
				}
				test(t, &http.Client{Transport: transport(t, front(t, h, files), way.set)}, way.url, way.proto)
			})
		})
	}
}

// The deadlines for requests do not end streams, whatever they run over, and not where the request had a body.
func TestStreamsOutliveTheDeadlinesOfRequests(t *testing.T) {
	const beats = 60
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the body: %v", err)
		}
		control := http.NewResponseController(w)
		for range beats {
			_, _ = io.WriteString(w, string(body)+"\n")
			if err := control.Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			select {
			case <-r.Context().Done():
				t.Errorf("the client is said to have gone: %v", context.Cause(r.Context()))
				return
			case <-time.After(10 * time.Second):
			}
		}
	})
	everyWay(t, stream, func(t *testing.T, client *http.Client, url, proto string) {
		for _, verb := range []string{http.MethodGet, http.MethodPost} {
			var body io.Reader = http.NoBody
			if verb == http.MethodPost {
				body = strings.NewReader("{}")
			}
			r, err := http.NewRequestWithContext(t.Context(), verb, url, body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			scanner := bufio.NewScanner(response.Body)
			for scanner.Scan() {
				lines++
			}
			if scanner.Err() != nil || lines != beats || response.Proto != proto {
				t.Errorf("%s: %d lines by %s, then %v; want %d by %s", verb, lines, response.Proto, scanner.Err(), beats, proto)
			}
			_ = response.Body.Close()
		}
	})
}

// A head that is too large is refused by every version of HTTP, and one that is nearly as large is not.
func TestHeaderBytes(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	everyWay(t, ok, func(t *testing.T, client *http.Client, url, proto string) {
		for number, want := range map[int]int{7: http.StatusNoContent, 12: http.StatusRequestHeaderFieldsTooLarge} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			for i := range number {
				r.Header.Set("X-"+strconv.Itoa(i), strings.Repeat("x", 4<<10))
			}
			response, err := client.Do(r)
			if err != nil {
				// Over HTTP/2 a client may know the limit and not even ask; net/http ends the connection of one that does.
				refused := strings.Contains(err.Error(), "larger than peer's advertised limit") || strings.Contains(err.Error(), "GOAWAY")
				if want == http.StatusNoContent || proto != "HTTP/2.0" || !refused {
					t.Errorf("%d headers: %v", number, err)
				}
				continue
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%d headers: status %d, want %d", number, response.StatusCode, want)
			}
		}
	})
}

// A client that never finishes the handshake does not hold its connection.
func TestUnfinishedHandshake(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half a record": "\x16\x03\x01\x02\x00\x01", "no TLS": "GET / HTTP/1.1\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				conn, err := front(t, http.NotFoundHandler(), new(issue(t, dir, "bridge"))).DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, sent) }()
				began := time.Now()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the connection was held for %v", took)
				}
			})
		})
	}
}

// deaf is a connection of a client that, once told, still acknowledges bytes but does not answer.
type deaf struct {
	net.Conn
	told chan struct{}
}

// Write loses p once the client is deaf.
func (d deaf) Write(p []byte) (int, error) {
	select {
	case <-d.told:
		return len(p), nil
	default:
		return d.Conn.Write(p)
	}
}

// An HTTP/2 client that is dead behind a proxy which still takes bytes is noticed, although a client that only reads sends
// nothing anyway.
func TestDeadHTTP2Client(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		ln := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}), nil)
		told := make(chan struct{})
		tr := transport(t, ln, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := ln.DialContext(ctx)
			return deaf{conn, told}, err
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://bridge.test/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		pass(10 * time.Minute) // it lives: it answers pings
		select {
		case <-gone:
			t.Fatal("a client that lives is said to have gone")
		default:
		}
		close(told)
		began := time.Now()
		<-gone
		if took := time.Since(began); took > 31*time.Second {
			t.Errorf("the client is held for %v after its death", took)
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Error("the stream looks as if it had ended")
		}
	})
}

// Older TLS than 1.2 is refused.
func TestOldTLS(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		conn, err := front(t, http.NotFoundHandler(), new(issue(t, dir, "bridge"))).DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		var alert tls.AlertError
		if err := client.HandshakeContext(t.Context()); err == nil || errors.As(err, &alert) && alert != 70 {
			t.Errorf("%v, want the alert protocol_version", err)
		}
	})
}
