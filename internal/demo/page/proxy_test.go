package page_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/demo/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBridge is a server that answers each connection with what script writes.
type fakeBridge struct {
	addr     string
	requests chan *http.Request
	gone     chan struct{} // one element for each connection that the other side has ended
}

// bridge starts a fakeBridge. script gets the request and writes the answer, byte for byte.
func bridge(t *testing.T, script func(r *http.Request, w io.Writer)) *fakeBridge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The buffers keep the bridge from waiting for a test that does not look.
	b := &fakeBridge{addr: l.Addr().String(), requests: make(chan *http.Request, 16), gone: make(chan struct{}, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(conn, script)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return b
}

func (b *fakeBridge) serve(conn net.Conn, script func(r *http.Request, w io.Writer)) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	b.requests <- r
	left := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		b.gone <- struct{}{}
		close(left)
	}()
	script(r, conn)
	if strings.HasPrefix(r.URL.Path, "/stays") {
		<-left
	}
}

// serve starts a Page in front of a bridge and returns its address.
func serve(t *testing.T, bridge string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	served := make(chan error, 1) // one slot: Serve may end before it is asked for
	go func() { served <- page.New(page.Options{Bridge: bridge}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// raw sends bytes and returns all that comes back, and the error that ended it: nil for an orderly end.
func raw(t *testing.T, addr, request string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

// What the bridge writes must reach the client as it is.
func TestAnswersPassUnchanged(t *testing.T) {
	for name, answer := range map[string]string{
		"length":       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nx-OdD: CaSe\r\n\r\nok",
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;ext=1\r\n:\n\n\r\n0\r\n\r\n",
		"until closed": "HTTP/1.0 200 Fine\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n",
		"no content":   "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"an error":     "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"early hints":  "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		"cut short":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\ndat",
		"nonsense":     "SSH-2.0-OpenSSH\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := bridge(t, func(_ *http.Request, w io.Writer) { _, _ = io.WriteString(w, answer) })
			got, err := raw(t, serve(t, b.addr), "GET /v1/feed HTTP/1.1\r\nHost: h\r\n\r\n")
			if diff := cmp.Diff(answer, got); diff != "" || err != nil {
				t.Errorf("%v, bytes (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestRequestsReachTheBridge(t *testing.T) {
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	addr := serve(t, b.addr)
	for _, test := range []struct {
		name, request, url, body string
		header                   http.Header
	}{
		{
			name: "as they came", request: "GET //a/../b%2Fc?q=%20+&_tap=1 HTTP/1.1\r\nHost: example.com:1\r\nLast-Event-ID: 7.x\r\n" +
				"Connection: keep-alive, x\r\nKeep-Alive: 5\r\nTE: trailers\r\n\r\n",
			url: "//a/../b%2Fc?q=%20+&_tap=1", header: http.Header{"Last-Event-Id": {"7.x"}, "Connection": {"close"}},
		},
		{
			name: "with a body", request: "POST /v1/tasks HTTP/1.1\r\nHost: example.com:1\r\nUser-Agent: u\r\nContent-Type: application/json\r\n" +
				"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
			url: "/v1/tasks", body: "{}",
			header: http.Header{"User-Agent": {"u"}, "Content-Type": {"application/json"}, "Content-Length": {"2"}, "Connection": {"close"}},
		},
		{
			name: "HEAD", request: "HEAD /v1/feed HTTP/1.1\r\nHost: example.com:1\r\n\r\n", url: "/v1/feed",
			header: http.Header{"Connection": {"close"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := raw(t, addr, test.request); err != nil {
				t.Fatal(err)
			}
			r := <-b.requests
			body, _ := io.ReadAll(r.Body)
			if r.RequestURI != test.url || r.Host != "example.com:1" || string(body) != test.body {
				t.Errorf("got %s of %s with %q", r.RequestURI, r.Host, body)
			}
			if diff := cmp.Diff(test.header, r.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheBridgeLearnsThatAClientLeft(t *testing.T) {
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
	})
	conn, err := net.Dial("tcp", serve(t, b.addr))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /stays HTTP/1.1\r\nHost: h\r\n\r\n")
	<-b.requests
	_ = conn.Close()
	<-b.gone
}

func TestNoBridge(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, l.Addr().String())
	_ = l.Close()
	got, err := raw(t, addr, "GET /v1/feed HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if err != nil || !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "the bridge cannot be reached") {
		t.Errorf("%v: %s", err, got)
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	b := bridge(t, func(*http.Request, io.Writer) {})
	resp, err := http.Post("http://"+serve(t, b.addr)+"/v1/tasks", "application/json", strings.NewReader(strings.Repeat("x", 1<<20+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The end of the page must not wait for streams that never end.
func TestServeEndsWithItsContext(t *testing.T) {
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:\n\n")
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t)
	served := make(chan error, 1)
	go func() { served <- page.New(page.Options{Bridge: b.addr}).Serve(ctx, l) }()
	var streams []net.Conn
	for _, path := range []string{"/stays?_tap=abcdefgh", "/stays", "/demo/wire?tap=abcdefgh"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, conn)
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, conn := range streams {
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}
}
