package cli_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// result is what a command line did.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command line to its end. One that serves although it should have failed is stopped after a while.
func run(ctx context.Context, args ...string) result {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Main(ctx, args, strings.NewReader(""), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// output collects what a running command prints, and lets a test wait for it.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and replaced by every write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// waitFor waits until text has been printed, and returns all that was.
func (o *output) waitFor(t *testing.T, text string) string {
	t.Helper()
	hung := time.After(time.Minute)
	for {
		o.mu.Lock()
		got, more := o.buf.String(), o.more
		o.mu.Unlock()
		if strings.Contains(got, text) {
			return got
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("the test ended before %q was printed; got:\n%s", text, got)
		case <-hung:
			t.Fatalf("%q was not printed; got:\n%s", text, got)
		}
	}
}

// command is a command line that runs until it is stopped.
type command struct {
	stdout, stderr *output
	cancel         context.CancelFunc
	done           chan int
}

func start(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &command{stdout: newOutput(), stderr: newOutput(), cancel: cancel, done: make(chan int, 1)} // 1: nobody may be waiting
	go func() { c.done <- cli.Main(ctx, args, strings.NewReader(""), c.stdout, c.stderr) }()
	t.Cleanup(func() { cancel() })
	return c
}

// stop ends it as a signal does, and returns the exit code.
func (c *command) stop() int {
	c.cancel()
	return <-c.done
}
