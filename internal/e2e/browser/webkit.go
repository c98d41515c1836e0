package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// webkit is WebKitGTK's MiniBrowser behind WebKitWebDriver, on a display of its own (Xvfb). W3C WebDriver is commands
// over HTTP; a command is for the current window, so those that choose a window and use it go out together.
type webkit struct {
	client    http.Client
	url       string // of the session
	name      string
	home      string      // the window that the session began with: a command needs some window, so it stays open
	processes []*exec.Cmd // in the order of their starts
	stderr    *tail

	mu sync.Mutex // held from the choice of a window to the end of the command for it
}

func startWebKit(string) (engine, error) {
	found, err := filepath.Glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")
	if err != nil || len(found) == 0 {
		return nil, errors.New("no MiniBrowser under /usr/lib/*/webkit2gtk-4.*")
	}
	w := &webkit{stderr: new(tail)}
	err = w.start(found[len(found)-1])
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", err, w.stderr), w.close())
	}
	return w, nil
}

func (w *webkit) start(miniBrowser string) error {
	display, err := w.startDisplay()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	driver := exec.Command("WebKitWebDriver", "--port="+strconv.Itoa(port)) //nolint:noctx // lives as long as the Set
	driver.Env = append(os.Environ(), "DISPLAY="+display, "GDK_BACKEND=x11", "NO_AT_BRIDGE=1", "LIBGL_ALWAYS_SOFTWARE=1")
	if os.Getuid() == 0 {
		driver.Env = append(driver.Env, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1") // it does not start as root
	}
	driver.Stderr = w.stderr
	if err := driver.Start(); err != nil {
		return err
	}
	w.processes = append(w.processes, driver)

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	base := "http://127.0.0.1:" + strconv.Itoa(port)
	if err := w.awaitDriver(ctx, base); err != nil {
		return err
	}
	var session struct {
		ID           string `json:"sessionId"`
		Capabilities struct {
			Name    string `json:"browserName"`
			Version string `json:"browserVersion"`
		} `json:"capabilities"`
	}
	err = w.command(ctx, http.MethodPost, base+"/session", map[string]any{"capabilities": map[string]any{
		"alwaysMatch": map[string]any{
			"acceptInsecureCerts":      true,
			"webkitgtk:browserOptions": map[string]any{"binary": miniBrowser, "args": []string{"--automation"}},
			"timeouts":                 map[string]any{"script": (5 * time.Minute).Milliseconds()},
		},
	}}, &session)
	if err != nil {
		return err
	}
	w.url = base + "/session/" + session.ID
	w.name = session.Capabilities.Name + "/" + session.Capabilities.Version
	return w.command(ctx, http.MethodGet, w.url+"/window", nil, &w.home)
}

// startDisplay starts an X server that picks a free display and writes its number to a pipe when it is ready.
func (w *webkit) startDisplay() (display string, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _, _ = read.Close(), write.Close() }()
	xvfb := exec.Command("Xvfb", "-displayfd", "3", "-nolisten", "tcp", "-screen", "0", "1280x1024x24") //nolint:noctx // lives as long as the Set
	xvfb.ExtraFiles = []*os.File{write}
	xvfb.Stderr = w.stderr
	if err := xvfb.Start(); err != nil {
		return "", err
	}
	w.processes = append(w.processes, xvfb)
	_ = write.Close() // so that reading ends if Xvfb does
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("Xvfb: %w", err) //nolint:staticcheck // a name
	}
	return ":" + strings.TrimSpace(number), nil
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// awaitDriver asks until the driver listens; nothing tells when it does.
func (w *webkit) awaitDriver(ctx context.Context, base string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := w.command(ctx, http.MethodGet, base+"/status", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("WebKitWebDriver does not answer: %w", err)
		}
	}
}

// command sends one WebDriver command and decodes the value of its reply into value, unless that is nil.
func (w *webkit) command(ctx context.Context, method, url string, body, value any) error {
	var payload io.Reader
	if method == http.MethodPost {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s %s: %s: %w", method, url, response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer.Value)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(answer.Value, value)
}

func (w *webkit) open(ctx context.Context, url string) (page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var window struct {
		Handle string `json:"handle"`
	}
	home := &webkitPage{w, w.home}
	if err := home.commandLocked(ctx, http.MethodPost, "/window/new", map[string]any{"type": "tab"}, &window); err != nil {
		return nil, err
	}
	p := &webkitPage{w, window.Handle}
	return p, p.commandLocked(ctx, http.MethodPost, "/url", map[string]any{"url": url}, nil)
}

func (w *webkit) version() string { return w.name }

func (w *webkit) close() error {
	var errs []error
	if w.url != "" {
		ctx, cancel := context.WithTimeout(context.Background(), pageTimeout)
		defer cancel()
		errs = append(errs, w.command(ctx, http.MethodDelete, w.url, nil, nil))
	}
	w.client.CloseIdleConnections()
	for _, process := range slices.Backward(w.processes) {
		errs = append(errs, process.Process.Kill())
		_ = process.Wait() // "killed", as asked
	}
	return errors.Join(errs...)
}

type webkitPage struct {
	browser *webkit
	handle  string
}

// commandLocked runs a command in this page's window.
func (p *webkitPage) commandLocked(ctx context.Context, method, path string, body, value any) error {
	w := p.browser
	if err := w.command(ctx, http.MethodPost, w.url+"/window", map[string]any{"handle": p.handle}, nil); err != nil {
		return err
	}
	return w.command(ctx, method, w.url+path, body, value)
}

// eval hands the value back as JSON text: WebDriver's own encoding of objects is not the same in all drivers.
func (p *webkitPage) eval(ctx context.Context, js string) (json.RawMessage, error) {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	const script = `const done = arguments[arguments.length - 1];
(async () => {%s})().then(
  (value) => done({value: JSON.stringify(value ?? null)}),
  (error) => done({error: String(error && error.stack ? error.message + "\n" + error.stack : error)}));`
	var result struct{ Value, Error string }
	err := p.commandLocked(ctx, http.MethodPost, "/execute/async",
		map[string]any{"script": fmt.Sprintf(script, js), "args": []any{}}, &result)
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	return json.RawMessage(result.Value), err
}

func (p *webkitPage) screenshot(ctx context.Context, s Screenshot) error {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	err := p.commandLocked(ctx, http.MethodPost, "/window/rect", map[string]any{"width": s.Width, "height": s.Height}, nil)
	if err != nil {
		return err
	}
	var encoded string
	if err := p.commandLocked(ctx, http.MethodGet, "/screenshot", nil, &encoded); err != nil {
		return err
	}
	png, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	return os.WriteFile(s.Path, png, 0o644)
}

func (p *webkitPage) console() []string { return nil }

func (p *webkitPage) close(ctx context.Context) error {
	p.browser.mu.Lock()
	defer p.browser.mu.Unlock()
	return p.commandLocked(ctx, http.MethodDelete, "/window", nil, nil)
}
