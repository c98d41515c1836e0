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

// programs builds what runs in processes of its own, once for all tests of the package: what users run, without the race
// detector, since that is how it is used and nothing that the readers see may depend on it, and the backend.
var (
	binaryDir string // set by programs
	programs  = sync.OnceValue(func() error {
		var err error
		if binaryDir, err = os.MkdirTemp("", "torture"); err != nil {
			return err
		}
		const module = "github.com/grpc-sse/grpc-sse/"
		out, err := exec.Command("go", "build", "-o", binaryDir, module+"cmd/grpc-sse", module+"internal/demo/script/scriptd").CombinedOutput()
		if err != nil {
			return errors.Join(err, errors.New(string(out)))
		}
		return nil
	})
)

// program is the path of a program that was built, by its name.
func program(t testing.TB, name string) string {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatalf("building %s: %v", name, err)
	}
	return filepath.Join(binaryDir, name)
}

// removeBinary removes what programs built, if it was asked for.
func removeBinary() {
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir) // what is left over is in the folder for temporary files
	}
}

// bridgeConfig writes a bridge's config file and returns its path.
func bridgeConfig(t testing.TB, upstream, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "grpc-sse.yaml")
	config = fmt.Sprintf("upstreams: [{name: script, target: '%s'}]\nadmin: 'off'\n%s", upstream, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// bridge runs `grpc-sse serve` with this config in front of a backend until the test ends, and returns its HOST:PORT. The test fails if
// the process does not end by itself when it is told to, or does not say that all went well.
func bridge(t testing.TB, upstream, config string) string {
	t.Helper()
	path := program(t, "grpc-sse")
	file := bridgeConfig(t, upstream, "listen: 127.0.0.1:0\ndrain_window: 0s\n"+config)
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
	_, base, found := strings.Cut(strings.TrimSpace(<-printed), "Routes at ")
	_, address, _ := strings.Cut(base, "://")
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
