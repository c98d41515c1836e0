//go:build unix

package crowd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// bridge is `grpc-sse serve` in a process of its own.
type bridge struct {
	t              *testing.T
	pid            int
	address, admin string // HOST:PORT
	log            *record
}

// record is what a process wrote.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps p.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// lines are those that hold part.
func (r *record) lines(part string) (found []string) {
	for line := range strings.Lines(r.String()) {
		if strings.Contains(line, part) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// startBridge starts a bridge in front of a backend. It may open so many files; 0 for as many as this process. It must
// end without an error when the test does.
func startBridge(t *testing.T, upstream, config string, files int) *bridge {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatalf("building the bridge: %v", err)
	}
	b := &bridge{t: t, log: &record{}, admin: freeAddress(t)}
	file := filepath.Join(t.TempDir(), "grpc-sse.yaml")
	config = fmt.Sprintf("upstreams: [{name: script, target: '%s'}]\nlisten: 127.0.0.1:0\nadmin: %s\ndrain_window: 0s\n%s", upstream, b.admin, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	limit := "unlimited"
	if files > 0 {
		limit = strconv.Itoa(files)
	}
	cmd := exec.Command("sh", "-c", `[ "$1" = unlimited ] || ulimit -n "$1" && exec "$2" serve --config "$3"`, "sh", limit, path, file)
	cmd.Stderr = b.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.pid = cmd.Process.Pid
	lines := bufio.NewReader(stdout)
	// The table of routes begins with the address, and is printed when the backend's schema has been read.
	first, _ := lines.ReadString('\n') // without one there is no address in it
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // the process may have ended; Wait says how
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("the bridge ended with %v", err)
		}
		if t.Failed() {
			text := b.log.String()
			t.Logf("the end of the bridge's log:\n%s", text[max(0, len(text)-6000):])
		}
	})
	_, address, found := strings.Cut(strings.TrimSpace(first), "Routes at http://")
	if !found {
		t.Fatalf("the bridge did not start")
	}
	b.address = address
	return b
}

// anonymous is how many bytes of memory the bridge has that are its own: no files, no sockets.
func (b *bridge) anonymous() int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid))
	if err != nil {
		b.t.Skipf("this system does not say how much memory a process has: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "RssAnon:" {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				b.t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	b.t.Skip("this system does not say how much memory a process has")
	return 0
}

// files is how many files the bridge has open.
func (b *bridge) files() int {
	b.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.pid))
	if err != nil {
		b.t.Skipf("this system does not say which files a process has open: %v", err)
	}
	return len(entries)
}

// probe asks the bridge whether it is ready, over a connection of its own unless client keeps one.
func (b *bridge) probe(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

// freeAddress is an address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// backend serves logs from this process. It can be stopped and started again.
type backend struct {
	*script.Backend
	t       *testing.T
	address string
	server  *grpc.Server // nil while it is stopped
	served  chan error
}

// startBackend serves logs until the test ends.
func startBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{Backend: script.New(), t: t, address: "127.0.0.1:0"}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *backend) start() {
	b.t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.address = l.Addr().String()
	server, served := b.NewServer(), make(chan error, 1) // one slot, so that Serve can return before it is asked for
	b.server, b.served = server, served
	go func() { served <- server.Serve(l) }()
}

// stop ends the server and all of its calls.
func (b *backend) stop() {
	b.t.Helper()
	if b.server == nil {
		return
	}
	b.server.Stop()
	b.server = nil
	if err := <-b.served; err != nil {
		b.t.Errorf("the backend: %v", err)
	}
}

// log makes a log that ends with event last, and the book of what its readers must get.
func (b *backend) log(name string, size uint32, last int, shared bool) *book {
	b.t.Helper()
	if err := b.DefineLog(&scriptv1.Log{Stream: name, Head: 1, Size: size, Last: uint64(last), BeginAt: scriptv1.Begin_BEGIN_OLDEST}); err != nil {
		b.t.Fatal(err)
	}
	return newBook(name, last, shared)
}

// appendAll adds so many events to the logs of books.
func (b *backend) appendAll(books []*book, count int) {
	for _, book := range books {
		b.Append(book.stream, uint64(count))
	}
}
