package bridgetest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// rawDial makes a connection and writes a request.
func rawDial(t *testing.T, w *world, request string) *net.TCPConn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.bridge.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(guard))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// TestHalfCloseIsNoCleanEnd: a client that half-closes is taken for gone; the chunked response that is cut then does not look
// ended.
func TestHalfCloseIsNoCleanEnd(t *testing.T) {
	b, address := scripted(t)
	b.Define("run", script.Note("a"), script.Gate("never"), script.Note("b"))
	w := start(t, upstreams(address))
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		t.Run(accept, func(t *testing.T) {
			c := rawDial(t, w, "GET /v1/play/run HTTP/1.1\r\nHost: x\r\nAccept: "+accept+"\r\n\r\n")
			r := bufio.NewReader(c)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body := bufio.NewReader(response.Body)
			for line := ""; !strings.Contains(line, `"a"`); {
				if line, err = body.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			_ = c.CloseWrite()
			rest, err := io.ReadAll(body)
			if err == nil {
				t.Errorf("the response looks ended: %q, though the call goes on", rest)
			}
		})
	}
}

// TestShutdownEndsUnaryCalls: the bridge does not wait for calls that may take an hour, also where the client has sent more
// behind its request, by which net/http no longer notices that the connection is closed.
func TestShutdownEndsUnaryCalls(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "with a byte behind": "G"} {
		t.Run(name, func(t *testing.T) {
			called := make(chan struct{})
			_, address := scripted(t, grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if _, ok := request.(*scriptv1.EchoRequest); ok {
					close(called)
				}
				return next(ctx, request)
			}))
			w := start(t, upstreams(address)+"unary_timeout: 3600s\ndrain_window: 0s\n")
			body := `{"text":"x","wait":"3600s"}`
			c := rawDial(t, w, fmt.Sprintf("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			<-called
			_, _ = io.WriteString(c, more) // net/http reads it while the call is under way
			w.stop()
		})
	}
}

// TestHeadOfACompressedStream: HEAD gets the head that GET would.
func TestHeadOfACompressedStream(t *testing.T) {
	b, address := scripted(t)
	b.Define("one", script.Note("a"))
	w := start(t, upstreams(address)+"compression: {encodings: [gzip]}\n")
	got, head := w.do("GET", "/v1/play/one", "", header("Accept-Encoding", "gzip")), w.do("HEAD", "/v1/play/one", "", header("Accept-Encoding", "gzip"))
	if a, b := got.header.Get("Content-Encoding"), head.header.Get("Content-Encoding"); a != b {
		t.Errorf("GET: Content-Encoding %q, HEAD: %q", a, b)
	}
}

// TestCustomVerbFromAListedOrigin: a verb of one's own is as good as others for pages of listed origins.
func TestCustomVerbFromAListedOrigin(t *testing.T) {
	address := serve(t, newDynamic(t, descriptors(t, watch("Watch", `[google.api.http] { custom { kind: "QUERY" path: "/v1/watch" } } `))).server())
	w := start(t, upstreams(address)+"cors: {origins: ['"+page+"']}\n")
	a := w.do("OPTIONS", "/v1/watch", "", header("Origin", page), header("Access-Control-Request-Method", "QUERY"))
	if a.header.Get("Access-Control-Allow-Origin") != page || a.header.Get("Access-Control-Allow-Methods") != "QUERY" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	for _, verb := range []string{"QUERY", "REPORT"} {
		a := w.do(verb, "/v1/watch", "", header("Origin", page))
		if a.header.Get("Access-Control-Allow-Origin") != page {
			t.Errorf("%s: %d without Access-Control-Allow-Origin: %v", verb, a.status, a.header)
		}
	}
}
