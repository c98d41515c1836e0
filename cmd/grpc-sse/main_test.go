//go:build unix

package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo"
)

var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "grpc-sse")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "grpc-sse")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running binary.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bufio.Reader
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd: cmd, stdout: bufio.NewReader(stdout), stderr: bufio.NewReader(stderr)}
}

// readTo reads lines until one holds text, and returns it.
func readTo(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			t.Fatalf("no %q before %v", text, err)
		}
	}
}

// wait returns the exit code; a process that a signal killed has -1.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	_, _ = io.Copy(io.Discard, p.stdout) // its end is the process's
	_, _ = io.Copy(io.Discard, p.stderr)
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// serve starts `serve` in front of the demo backend, and returns its URL.
func serve(t *testing.T, window string) (*process, string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // 1: a failing test may not wait for it
	go func() { done <- demo.NewServer(demo.Options{}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	p := start(t, "serve", "--upstream", l.Addr().String(), "--listen", "127.0.0.1:0", "--admin", "off", "--drain-window", window)
	url := regexp.MustCompile(`http://\S+`).FindString(readTo(t, p.stdout, "Routes at"))
	readTo(t, p.stdout, "Left out")
	return p, url
}

// stream opens a stream that never ends, and reads its first event.
func stream(t *testing.T, url string) *bufio.Reader {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/feed", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := new(http.Client).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	body := bufio.NewReader(response.Body)
	readTo(t, body, "event: stream.open")
	return body
}

func TestSignalEndsIt(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p, _ := serve(t, "1h")
		p.signal(t, s)
		if code := p.wait(t); code != 0 {
			t.Errorf("%v: exit code %d", s, code)
		}
	}
}

// The first signal lets a stream go on for the drain window, which then ends it with its last frame.
func TestSignalDrains(t *testing.T) {
	p, url := serve(t, "500ms")
	body := stream(t, url)
	p.signal(t, syscall.SIGTERM)
	readTo(t, body, "event: stream.")
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalEndsItAtOnce(t *testing.T) {
	p, url := serve(t, "1h")
	body := stream(t, url)
	p.signal(t, syscall.SIGTERM)
	readTo(t, p.stderr, "draining")
	readTo(t, body, "data: ") // it goes on
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{"version": 0, "serve": 2, "nonsense": 2, "serve --config /no/such/file": 1} {
		if got := start(t, strings.Fields(args)...).wait(t); got != want {
			t.Errorf("%s: exit code %d, want %d", args, got, want)
		}
	}
}
