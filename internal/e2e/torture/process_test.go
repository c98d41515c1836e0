package torture_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// binary is what users run, built once for all tests of the package: without the race detector, since that is how it is
// used, and nothing that the readers see may depend on it.
var (
	binaryDir string // set by binary
	binary    = sync.OnceValues(func() (string, error) {
		var err error
		if binaryDir, err = os.MkdirTemp("", "torture"); err != nil {
			return "", err
		}
		path := filepath.Join(binaryDir, "grpc-sse")
		out, err := exec.Command("go", "build", "-o", path, "github.com/grpc-sse/grpc-sse/cmd/grpc-sse").CombinedOutput()
		if err != nil {
			return "", errors.Join(err, errors.New(string(out)))
		}
		return path, nil
	})
)

// removeBinary removes what binary built, if it was asked for.
func removeBinary() {
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir) // what is left over is in the folder for temporary files
	}
}

// bridge runs `grpc-sse serve` with this config in front of a backend until the test ends, and returns its HOST:PORT. The test fails if
// the process does not end by itself when it is told to, or does not say that all went well.
func bridge(t testing.TB, upstream, config string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("building grpc-sse: %v", err)
	}
	file := filepath.Join(t.TempDir(), "grpc-sse.yaml")
	config = fmt.Sprintf("upstreams: [{name: script, target: '%s'}]\nlisten: 127.0.0.1:0\nadmin: 'off'\ndrain_window: 0s\n%s", upstream, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "--config", file)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	printed := make(chan string, 1) // one slot, so that a bridge that prints nothing ends the goroutine all the same
	read := make(chan struct{})
	go func() {
		defer close(read)
		// The table of routes begins with the address, and is printed when the backend's schema has been read.
		first, _ := lines.ReadString('\n') // without one there is no address in it
		printed <- first
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // the process may have ended; Wait says how
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the bridge ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the bridge's log:\n%s", tail(log.String(), 100))
		}
	})
	_, address, found := strings.Cut(strings.TrimSpace(<-printed), "Routes at http://")
	if !found {
		t.Fatalf("the bridge did not start")
	}
	return address
}

// tail is the last n lines of text.
func tail(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
