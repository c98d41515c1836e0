package tail_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

// cutter is a server of one finished call with four events, which cuts its connections.
type cutter struct {
	// cutAt is the byte of the nth response (from 0), head included, before which the connection is cut; negative is
	// never. It is called for one request at a time.
	cutAt func(n int) int
	// chunked sends a body in chunks, so that every cut shows; else the body goes on until the connection is closed.
	chunked bool
	// reset cuts by RST instead of FIN.
	reset bool

	mu   sync.Mutex
	n    int
	keys []string
}

// frames are what is sent behind the opening: each frame's number is its position.
var frames = []string{
	"id: 1.m\nevent: price\ndata: {\"n\":1}\n\n",
	"id: 2.m\ndata: {\"n\":2}\ndata: \n\n:\n\n",
	"id: 3.m\r\nevent: price\r\ndata: é😀\r\n\r\n",
	"id: 4.m\nevent: price\ndata: {\"n\":4}\n\n",
	"id: 5.c.end\nevent: stream.end\ndata: {\"code\":0,\"status\":\"OK\"}\n\n",
}

// response is the whole response, as bytes, to a request that presents the cursor.
func (c *cutter) response(cursor string) (string, error) {
	position := 0
	if cursor != "" {
		head, rest, _ := strings.Cut(cursor, ".")
		n, err := strconv.Atoi(head)
		if err != nil || n < 0 || n > 4 || rest != "m" {
			return "", fmt.Errorf("cursor %q was never sent", cursor)
		}
		position = n
	}
	body := []string{fmt.Sprintf(":\nretry: 0\nid: %d.m\nevent: stream.open\ndata: {}\n\n", position)}
	body = append(body, frames[position:]...)
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n"
	if !c.chunked {
		return head + "Connection: close\r\n\r\n" + strings.Join(body, ""), nil
	}
	chunks := head + "Transfer-Encoding: chunked\r\n\r\n"
	for _, frame := range body {
		chunks += fmt.Sprintf("%x\r\n%s\r\n", len(frame), frame)
	}
	return chunks + "0\r\n\r\n", nil
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, r.Header.Get("Idempotency-Key"))
	whole, err := c.response(r.Header.Get("Last-Event-ID"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cut := c.cutAt(c.n)
	c.n++
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	if cut < 0 || cut > len(whole) {
		cut = len(whole)
	}
	_, _ = conn.Write([]byte(whole[:cut])) // a client that has gone away comes back
	if tcp, ok := conn.(*net.TCPConn); ok && c.reset {
		_ = tcp.SetLinger(0)
	}
}

// check runs tail against c and requires every event exactly once, in order.
func (c *cutter) check(t *testing.T, what string) {
	t.Helper()
	server := httptest.NewServer(c)
	defer server.Close()
	got := run(t.Context(), tail.Options{URL: server.URL, JSON: true, RetryDelay: 20 * time.Microsecond, MaxRetries: -1})
	var events []string
	for _, l := range got.lines(t) {
		if l.Event != "stream.open" {
			events = append(events, l.ID+" "+l.Event+" "+string(l.Data))
		}
	}
	want := []string{
		`1.m price {"n":1}`, `2.m message {"n":2}`, `3.m price "é😀"`, `4.m price {"n":4}`,
		`5.c.end stream.end {"code":0,"status":"OK"}`,
	}
	if diff := cmp.Diff(want, events); diff != "" || got.exit != tail.ExitOK || got.err != nil {
		t.Errorf("%s: exit code %d, error %v; events (-want +got):\n%s\n%s", what, got.exit, got.err, diff, got.stderr)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.keys)
	if keys := slices.Compact(c.keys); len(keys) != 1 || len(keys[0]) < 22 {
		t.Errorf("%s: keys %v, want the same one in each request", what, keys)
	}
}

func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{true, false} {
		t.Run(fmt.Sprintf("chunked=%t", chunked), func(t *testing.T) {
			t.Parallel()
			whole, err := (&cutter{chunked: chunked}).response("")
			if err != nil {
				t.Fatal(err)
			}
			for at := range len(whole) + 1 {
				c := &cutter{chunked: chunked, reset: at%2 == 1, cutAt: func(n int) int {
					if n == 0 {
						return at
					}
					return -1
				}}
				c.check(t, fmt.Sprintf("cut at %d of %d", at, len(whole)))
			}
		})
	}
}

// Every connection is cut, somewhere: only what a connection brings whole moves the stream on.
func TestCutAgainAndAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := &cutter{chunked: seed%2 == 0, reset: seed%3 == 0, cutAt: func(int) int { return random.IntN(600) }}
		c.check(t, fmt.Sprintf("seed %d", seed))
	}
}
