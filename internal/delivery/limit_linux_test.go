package delivery_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// TestDescriptorLimit: where no descriptor is left, a connection is served by a goroutine, as it was before; and by a shard
// as soon as there are some again. It runs in a process of its own, for the limit is the process's.
func TestDescriptorLimit(t *testing.T) {
	const variable = "DELIVERY_DESCRIPTOR_LIMIT"
	if when := os.Getenv(variable); when != "" {
		serveAtLimit(t, when == "before")
		return
	}
	for _, when := range []string{"before", "after"} { // the shards were started
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDescriptorLimit$")
		command.Env = append(os.Environ(), variable+"="+when)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", when, err, out)
		}
	}
}

func serveAtLimit(t *testing.T, before bool) {
	var lowered func() (restore func())
	src := newSource()
	o := &owner{ended: make(chan error, 1)}
	s := newSockets(t, options.Config, func(r *http.Request) (delivery.Source, delivery.Owner) {
		if r.URL.Path == "/limited" {
			lowered()
		}
		return src, o
	})
	s.ln.plain.Store(true) // net's connections cannot be had without another descriptor
	served := func(path string, shards bool) {
		src, o = newSource(), &owner{ended: make(chan error, 1)}
		before := s.delivery.TakenOver()
		conn := s.dial(path)
		defer conn.Close()
		r := body(conn)
		if open, err := r.Peek(9); string(open) != "opening\n\n" {
			t.Fatalf("%s: %q, %v", path, open, err)
		}
		if got := s.delivery.TakenOver() == before+1; got != shards {
			t.Errorf("%s: by a shard: %v, want %v", path, got, shards)
		}
		src.add("one\n\n")
		src.end()
		if got, err := io.ReadAll(r); string(got) != "opening\n\none\n\n" || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		if err := <-o.ended; err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	restore := func() {}
	lowered = func() func() { restore = lowerLimit(t); return restore }
	if !before {
		served("/", true)
	}
	served("/limited", false)
	restore()
	served("/", true)
}

// lowerLimit leaves no descriptor.
func lowerLimit(t *testing.T) (restore func()) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	free, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(free)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(free), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) }
}
