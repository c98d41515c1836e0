//go:build unix

package torture_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// daemon is one of our programs in a process of its own and on a port of its own, where it can be killed and started
// again. One goroutine uses it.
type daemon struct {
	t       testing.TB
	name    string // of the program
	args    []string
	address string // HOST:PORT

	cmd     *exec.Cmd // nil while it does not run
	printed chan string
	read    chan struct{} // closed when its output has ended
	log     record
}

// record is what a daemon logged, over all its lives.
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

// newDaemon makes a daemon that does not run yet; args are given the address that it is to listen on.
func newDaemon(t testing.TB, name string, args func(address string) []string) *daemon {
	t.Helper()
	d := &daemon{t: t, name: name, address: reserve(t)}
	d.args = args(d.address)
	t.Cleanup(func() {
		if d.cmd != nil {
			d.kill()
		}
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, tail(d.log.String(), 100))
		}
	})
	return d
}

// launch starts the process and does not wait for it to serve; ready does.
func (d *daemon) launch() {
	d.t.Helper()
	d.cmd = exec.Command(program(d.t, d.name), d.args...)
	d.cmd.Stderr = &d.log
	// scriptd ends when its standard input does; nothing is written to it.
	if _, err := d.cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.printed, d.read = make(chan string, 1), make(chan struct{}) // one slot, so that nobody need listen
	printed, read := d.printed, d.read
	go func() {
		defer close(read)
		lines := bufio.NewReader(stdout)
		first, _ := lines.ReadString('\n') // without one there is nothing in it
		printed <- first
		_, _ = io.Copy(io.Discard, lines)
	}()
}

// ready waits until the process says that it serves: the backend prints its address, and the bridge its routes when it
// has read the backend's schema.
func (d *daemon) ready() {
	d.t.Helper()
	if <-d.printed == "" {
		d.t.Fatalf("%s did not start:\n%s", d.name, tail(d.log.String(), 20))
	}
}

func (d *daemon) start() {
	d.t.Helper()
	d.launch()
	d.ready()
}

// kill ends the process as a crash does.
func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	<-d.read
	_ = d.cmd.Wait() // it was killed
	d.cmd = nil
}

// stop asks the process to end, which it must do without an error.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	<-d.read
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("%s ended with %v", d.name, err)
	}
	d.cmd = nil
}

func (d *daemon) signal(s syscall.Signal) {
	_ = d.cmd.Process.Signal(s) // a process that has ended by itself shows when it is waited for
}

// reserve takes a free port until the test ends: a socket is bound to it that does not listen, so that nobody else is
// given it, and with SO_REUSEADDR on both sides a listener can be bound beside it.
func reserve(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
}
