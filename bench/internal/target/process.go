package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// startWithin is how long a program may take until it can be connected to.
const startWithin = 20 * time.Second

// Process is a program that was started.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // why it ended
}

// Launch starts a program. It runs until Kill; its standard error goes to log.
func Launch(log io.Writer, dir, name string, args ...string) (*Process, error) {
	cmd := exec.Command(name, args...) //nolint:gosec,noctx // the program under test; Kill ends it
	cmd.Dir, cmd.Stderr = dir, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// PID is its process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends it at once and waits for that. A program that was measured has nothing to save.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// Await waits until ready returns nil, for as long as the program runs.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %w", filepath.Base(p.cmd.Path), errors.Join(p.err, err))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", filepath.Base(p.cmd.Path), err)
		case <-again.C:
		}
	}
}

// Listens is nil when addr can be connected to.
func Listens(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// FreeAddr is an address of 127.0.0.1 at which nothing listens now.
func FreeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Builder builds programs of the project, each once.
type Builder struct {
	Dir string // where they go

	mu    sync.Mutex
	built map[string]error
}

// Build builds the main package in the folder from, of the module that it is in, and returns the program's file.
func (b *Builder) Build(ctx context.Context, from string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	file := filepath.Join(b.Dir, filepath.Base(from))
	err, ok := b.built[from]
	if !ok {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", file, ".") //nolint:gosec // the project's own folders
		cmd.Dir = from
		if out, failed := cmd.CombinedOutput(); failed != nil {
			err = fmt.Errorf("go build in %s: %w\n%s", from, failed, out)
		}
		if b.built == nil {
			b.built = make(map[string]error)
		}
		b.built[from] = err
	}
	return file, err
}
