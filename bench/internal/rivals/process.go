package rivals

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

const (
	readyWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
)

// process is a program that serves on a listening socket which it inherits as descriptor 3: so no port can be taken by
// another in between, and nobody has to wait until it listens.
type process struct {
	prepare func(addr string) error // may be nil; called before the program is started
	env     []string                // what its environment has beside the benchmark's

	addr string
	cmd  *exec.Cmd
	done chan error // what Wait said, once
	log  tail
}

// start starts a program and waits for its first answer. It lives until Stop.
func (p *process) start(ctx context.Context, place target.Place, program string, args ...string) error {
	socket, err := listen(ctx)
	if err != nil {
		return err
	}
	defer socket.Close() //nolint:errcheck // a copy
	if p.prepare != nil {
		if err := p.prepare(socket.addr); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:gosec // a rival
	p.cmd = cmd
	cmd.ExtraFiles = []*os.File{socket.file}
	cmd.Dir, cmd.Env = place.Dir, append(os.Environ(), p.env...)
	p.log.to = place.Log
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the benchmark, which then ends it
	if err := cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	p.done = make(chan error, 1) // one: nobody may ask
	go func() { p.done <- cmd.Wait() }()
	p.addr = socket.addr
	_ = socket.Close() // else the port would still accept when the program ends at once
	if err := ready(ctx, p.addr); err != nil {
		return fmt.Errorf("%s does not answer: %w\n%s", cmd.Path, err, p.log.last())
	}
	return nil
}

// Stop ends the process and waits for it.
func (p *process) Stop() error {
	if p.cmd == nil {
		return nil
	}
	defer func() { p.cmd = nil }()
	select {
	case err := <-p.done:
		return fmt.Errorf("%s ended by itself: %w\n%s", p.cmd.Path, err, p.log.last())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	patience := time.NewTimer(stopWithin)
	defer patience.Stop()
	select {
	case err := <-p.done:
		return err
	case <-patience.C:
	}
	_ = p.cmd.Process.Kill() // it may just have ended
	<-p.done                 //nolint:errcheck // it was killed
	return fmt.Errorf("%s did not end within %v of SIGTERM", p.cmd.Path, stopWithin)
}

// Addr implements Target.
func (p *process) Addr() string { return p.addr }

// PIDs implements Target.
func (p *process) PIDs() []int {
	if p.cmd == nil {
		return nil
	}
	return []int{p.cmd.Process.Pid}
}

// socket is a listening socket to be inherited.
type socket struct {
	file *os.File
	addr string
}

func (s *socket) Close() error { return s.file.Close() }

// listen makes a socket on a free port that several processes can accept from, each with a queue of its own.
func listen(ctx context.Context) (*socket, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if controlErr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); controlErr != nil {
			return controlErr
		}
		return err
	}}
	listener, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	return &socket{file: file, addr: listener.Addr().String()}, nil
}

// ready waits until a server answers anything: where TLS is spoken that is an error in plain text.
func ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, "GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// openFiles is how many files a process that is started here may have open.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Max, 1<<20))
}

// build builds the command of this module that the plain rivals are, and returns its file.
func build(ctx context.Context, place target.Place) (string, error) {
	return place.Build.Build(ctx, filepath.Join(place.Repo, "bench", "cmd", "rival"))
}

// tail hands on what a program says, and keeps the end for error messages.
type tail struct {
	to io.Writer // may be nil

	mu   sync.Mutex
	kept []byte
}

const mostKept = 4 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, text...)
	if more := len(t.kept) - mostKept; more > 0 {
		t.kept = append(t.kept[:0], t.kept[more:]...)
	}
	if t.to != nil {
		_, _ = t.to.Write(text) // it is for people; the program must not stop for it
	}
	return len(text), nil
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
