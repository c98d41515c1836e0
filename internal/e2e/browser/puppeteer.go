package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// puppeteer is a browser behind e2e/driver.mjs, which says what the lines between the two mean.
type puppeteer struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	done   chan struct{} // closed when the driver's output has ended
	name   string
	stderr *tail

	mu       sync.Mutex
	last     int
	waiting  map[int]chan reply // one slot each: the reader never waits for who asked and left
	consoles map[int][]string
}

type request struct {
	ID     int    `json:"id"`
	Op     string `json:"op"`
	URL    string `json:"url,omitempty"`
	Page   int    `json:"page,omitempty"`
	JS     string `json:"js,omitempty"`
	Path   string `json:"path,omitempty"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	Dark   bool   `json:"dark,omitempty"`
}

type reply struct {
	ID      *int            `json:"id"`
	Value   json.RawMessage `json:"value"`
	Error   string          `json:"error"`
	Page    int             `json:"page"`
	Console string          `json:"console"`
}

// startTimeout is how long a browser may take to start.
const startTimeout = 2 * time.Minute

func startPuppeteer(name string) (engine, error) {
	executable, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "e2e/node_modules/puppeteer-core")); err != nil {
		return nil, err
	}
	// Not bound to a context: it ends with its input, and so with this process, however that ends.
	cmd := exec.Command(node, "driver.mjs", name, executable) //nolint:noctx // see above
	cmd.Dir = filepath.Join(root, "e2e")
	started := make(chan reply, 1)
	p := &puppeteer{
		cmd: cmd, done: make(chan struct{}), stderr: new(tail),
		waiting: map[int]chan reply{0: started}, consoles: map[int][]string{}, // the driver's first line has id 0
	}
	cmd.Stderr = p.stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(stdout)

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	version, err := p.wait(ctx, started)
	if err == nil {
		err = json.Unmarshal(version, &p.name)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// moduleRoot is the folder of go.mod; tests run in their package's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod in this folder or above it")
		}
	}
	return "", err
}

// read hands the driver's lines to who waits for them.
func (p *puppeteer) read(stdout io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintf(p.stderr, "driver said: %s\n", lines.Bytes())
			continue
		}
		p.mu.Lock()
		if r.ID == nil {
			p.consoles[r.Page] = append(p.consoles[r.Page], r.Console)
		} else if waiting, ok := p.waiting[*r.ID]; ok {
			delete(p.waiting, *r.ID)
			waiting <- r
		}
		p.mu.Unlock()
	}
}

func (p *puppeteer) wait(ctx context.Context, replies chan reply) (json.RawMessage, error) {
	select {
	case r := <-replies:
		if r.Error != "" {
			return nil, errors.New(r.Error)
		}
		return r.Value, nil
	case <-p.done:
		return nil, fmt.Errorf("the driver is gone: %s", p.stderr)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s", ctx.Err(), p.stderr)
	}
}

// send asks the driver; the returned id is also that of a page that the request opens.
func (p *puppeteer) send(ctx context.Context, r request) (id int, value json.RawMessage, err error) {
	replies := make(chan reply, 1)
	p.mu.Lock()
	p.last++
	r.ID = p.last
	p.waiting[r.ID] = replies
	line, err := json.Marshal(r)
	if err == nil {
		_, err = p.stdin.Write(append(line, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		return 0, nil, fmt.Errorf("the driver is gone: %w: %s", err, p.stderr)
	}
	value, err = p.wait(ctx, replies)
	return r.ID, value, err
}

func (p *puppeteer) open(ctx context.Context, url string) (page, error) {
	id, _, err := p.send(ctx, request{Op: "open", URL: url})
	return &puppeteerPage{p, id}, err
}

func (p *puppeteer) version() string { return p.name }

func (p *puppeteer) close() error {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		_ = p.cmd.Process.Kill()
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("driver: %w: %s", err, p.stderr)
	}
	return nil
}

type puppeteerPage struct {
	browser *puppeteer
	id      int
}

func (p *puppeteerPage) eval(ctx context.Context, js string) (json.RawMessage, error) {
	_, value, err := p.browser.send(ctx, request{Op: "eval", Page: p.id, JS: js})
	return value, err
}

func (p *puppeteerPage) screenshot(ctx context.Context, s Screenshot) error {
	_, _, err := p.browser.send(ctx, request{
		Op: "screenshot", Page: p.id,
		Path: s.Path, Width: s.Width, Height: s.Height, Dark: s.Dark,
	})
	return err
}

func (p *puppeteerPage) console() []string {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	return slices.Clone(p.browser.consoles[p.id])
}

func (p *puppeteerPage) close(ctx context.Context) error {
	_, _, err := p.browser.send(ctx, request{Op: "close", Page: p.id})
	return err
}

// tail keeps the last of what a process writes to its standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
