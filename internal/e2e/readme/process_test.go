package readme_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// guard ends what hangs. No test waits this long unless it fails.
const guard = time.Minute

// process is a running command. What it prints is kept, standard error among standard output as on a terminal.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed at its end
	err  error         // how it ended; to be read after done

	mu      sync.Mutex
	printed []byte
	changed chan struct{} // closed, and another one made, when there is more
}

// start runs a command line of the shell until the test ends, in a process group of its own, so that stop reaches all
// that it starts.
func start(t *testing.T, dir string, env []string, line string) *process {
	t.Helper()
	p := &process{done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command("bash", "-c", line)
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	err = p.cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(p.stop)
	return p
}

func (p *process) read(out *os.File) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := out.Read(buffer)
		p.mu.Lock()
		p.printed = append(p.printed, buffer[:n]...)
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			break // nobody holds the other end any more
		}
	}
	_ = out.Close()
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) soFar() (printed string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.printed), p.changed
}

// await waits until what was printed passes. When the process ends first, or the guard does, it returns pass's error.
func (p *process) await(pass func(printed string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	for {
		printed, changed := p.soFar()
		err := pass(printed)
		if err == nil {
			return nil
		}
		select {
		case <-changed:
		case <-p.done:
			if rest, _ := p.soFar(); rest == printed {
				return fmt.Errorf("it has ended (%w) and %w", p.err, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("after %v %w", guard, err)
		}
	}
}

// end waits until the process has ended by itself, and returns all that it printed.
func (p *process) end() (string, error) {
	select {
	case <-p.done:
		printed, _ := p.soFar()
		return printed, p.err
	case <-time.After(guard):
		printed, _ := p.soFar()
		return printed, errors.New("it does not end")
	}
}

// stop interrupts the process, as Ctrl-C does, and waits for its end.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(guard):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}
