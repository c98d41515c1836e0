package delivery_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// onBothPaths runs a test in a bubble, on connections that a goroutine serves each and on those that a shard does, whichever
// way it has got them.
func onBothPaths(t *testing.T, test func(t *testing.T, o settings)) {
	t.Helper()
	for name, path := range map[string]settings{"goroutine": {goroutines: true}, "shard": {}, "shard, hijacked": {hijack: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options
				o.goroutines, o.hijack = path.goroutines, path.hijack
				test(t, o)
			})
		})
	}
}

// onShard runs a test in a bubble, on connections that a shard serves.
func onShard(t *testing.T, test func(t *testing.T, o settings)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, options) })
}

// world is a server in memory, and its clients.
type world struct {
	t        testing.TB
	o        settings
	network  *delivery.Memory
	delivery *delivery.Server

	others int // clients that goroutines serve although shards could
	// unsettled: how many they are is not known
	unsettled bool
	mu        sync.Mutex
	clients   []*client // a request's path is its client's index
}

func newWorld(t testing.TB, o settings) *world {
	t.Helper()
	w := &world{t: t, o: o, network: delivery.NewMemory()}
	w.network.Goroutines = o.goroutines
	if o.size != 0 {
		w.network.Size = o.size
	}
	w.delivery = delivery.NewIn(o.Config, w.network)
	server := &http.Server{Handler: w, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	if !o.hijack {
		server.ConnContext = delivery.ConnContext
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(w.network) }()
	t.Cleanup(func() {
		for _, c := range w.clients {
			_ = c.Close()
		}
		_ = server.Close()
		<-served
		w.delivery.Shutdown(time.Hour)
		w.check()
	})
	return w
}

// wantShards is how many of the connections shards are to serve.
func (w *world) wantShards() int {
	if w.o.goroutines || w.o.ContentType != "" || w.o.TypeOf != nil || w.o.Encoding != "" {
		return 0
	}
	return len(w.clients) - w.others
}

// check is that nothing is left, and that descriptors were treated as they must be.
func (w *world) check() {
	if n := w.delivery.Open(); n != 0 {
		w.t.Errorf("%d connections are still counted", n)
	}
	if n := w.network.Open(); n != 0 {
		w.t.Errorf("%d descriptors are still open", n)
	}
	if got, want := w.network.Given(), w.wantShards(); got != want && !w.unsettled {
		w.t.Errorf("shards served %d connections, want %d", got, want)
	}
	if misused := w.network.Misused(); len(misused) != 0 {
		w.t.Errorf("%d times: %v", len(misused), misused[:min(len(misused), 5)])
	}
}

// ServeHTTP serves a client its source.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var i int
	_, _ = fmt.Sscanf(r.URL.Path, "/%d", &i)
	w.mu.Lock()
	c := w.clients[i]
	w.mu.Unlock()
	rw.Header().Set("Vary", "Origin")
	o := w.o.Options
	o.Owner = c
	w.delivery.Serve(rw, r, c.src, o)
}

const get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"

// connect sends a request that src is the answer to.
func (w *world) connect(src delivery.Source, request string) *client {
	c := w.prepare(src)
	w.dial(c, request)
	return c
}

// prepare makes a client that has not connected yet.
func (w *world) prepare(src delivery.Source) *client {
	c := &client{owner: &owner{settings: w.o, ended: make(chan error, 1)}, t: w.t, src: src}
	c.result = c.ended
	return c
}

// dial connects.
func (w *world) dial(c *client, request string) {
	w.mu.Lock()
	w.clients = append(w.clients, c)
	request = strings.Replace(request, " / ", fmt.Sprintf(" /%d ", len(w.clients)-1), 1)
	w.mu.Unlock()
	c.End = w.network.Dial()
	if _, err := io.WriteString(c, request); err != nil {
		w.t.Error(err)
	}
	c.reader = bufio.NewReader(c)
}

// serve makes a world of one client.
func serve(t *testing.T, src delivery.Source, o settings, request string) *client {
	return newWorld(t, o).connect(src, request)
}

// client is one connection.
type client struct {
	*delivery.End
	*owner
	t      testing.TB
	src    delivery.Source
	reader *bufio.Reader
	result chan error // what the owner was told at the end
}

// Ended closes the source that can be.
func (c *client) Ended(err error) {
	if src, ok := c.src.(interface{ Close() }); ok {
		src.Close()
	}
	c.owner.Ended(err)
}

// head reads the head and returns its lines.
func (c *client) head() []string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			c.t.Fatalf("reading the head: %v after %q", err, lines)
		}
		if line == "\r\n" {
			return lines
		}
		lines = append(lines, strings.TrimSpace(line))
	}
}

func (c *client) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.reader, got); err != nil || string(got) != want {
		c.t.Fatalf("read %.100q, %v, want %.100q", got[:n], err, want)
	}
}

// opened reads the head and the opening.
func (c *client) opened() *client {
	c.t.Helper()
	c.head()
	c.expect("opening\n\n")
	return c
}

// expectEnd reads what is left: it must be this, and then a clean end, or a reset.
func (c *client) expectEnd(want string, clean bool) {
	c.t.Helper()
	rest, err := io.ReadAll(c.reader)
	if string(rest) != want || (err == nil) != clean {
		c.t.Errorf("at the end: %.100q (%d bytes), %v; want %.100q (%d bytes), cleanly: %v", rest, len(rest), err, want, len(want), clean)
	}
	if err := <-c.result; (err == nil) != clean {
		c.t.Errorf("the owner is told %v", err)
	}
}
