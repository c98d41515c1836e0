package bridgetest_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guard ends a test that hangs. Nothing is expected to be done within it.
const guard = 3 * time.Minute

// impatient is the config of a bridge that sends its heads at once, whatever the backend does.
const impatient = "open_window: 0s\n"

// world is a running bridge.
type world struct {
	t      *testing.T
	bridge *bridge.Bridge
	base   string // the bridge's URL
	admin  string // the admin listener's URL
	client *http.Client
	probe  *http.Client // asks the admin listener
	log    *book        // what it logged
	stdout *book        // what it printed

	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has returned
	err    error         // what it returned
}

// settings resolves a config as `grpc-sse serve --config` would.
func settings(t testing.TB, yaml string) *config.Settings {
	t.Helper()
	loaded, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := loaded.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// launch runs a bridge with this config and returns without waiting for its backends. Addresses are any free ones. Where
// the config does not say, the drain window is 0, and the open window is so long that an early error is a status however
// slow the machine is.
func launch(t *testing.T, yaml string) *world {
	t.Helper()
	return launchAt(t, "127.0.0.1:0", yaml, nil)
}

// launchAt is launch on this address and with this clock.
func launchAt(t *testing.T, address, yaml string, now func() time.Time) *world {
	t.Helper()
	yaml = "listen: " + address + "\nadmin: 127.0.0.1:0\n" + yaml
	if !strings.Contains(yaml, "drain_window:") {
		yaml += "\ndrain_window: 0s\n"
	}
	if !strings.Contains(yaml, "open_window:") {
		yaml += "\nopen_window: 10s\n"
	}
	w := &world{t: t, log: newBook(), stdout: newBook(), ended: make(chan struct{})}
	var err error
	w.bridge, err = bridge.New(settings(t, yaml), bridge.Options{
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Stdout: w.stdout,
		Now:    now,
	})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	w.client = &http.Client{Transport: transport}
	w.probe = w.client
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() {
		defer close(w.ended)
		w.err = w.bridge.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		w.wait()
		if t.Failed() {
			t.Logf("the bridge's log:\n%s", w.log)
		}
	})
	select {
	case <-w.bridge.Listening():
	case <-w.ended:
		t.Fatalf("the bridge did not start: %v", w.err)
	}
	w.base = "http://" + w.bridge.Addr().String()
	w.admin = "http://" + w.bridge.AdminAddr().String()
	return w
}

// start is launch, and waits until every schema is there.
func start(t *testing.T, yaml string) *world {
	t.Helper()
	w := launch(t, yaml)
	w.awaitReady()
	return w
}

func (w *world) awaitReady() {
	w.t.Helper()
	eventually(w.t, "the bridge is ready", func() bool {
		select {
		case <-w.ended:
			w.t.Fatalf("the bridge ended: %v", w.err)
		default:
		}
		return w.bridge.Ready()
	})
}

// stop ends the bridge and fails where Run returned an error.
func (w *world) stop() {
	w.t.Helper()
	w.cancel()
	w.wait()
}

// wait waits until Run has returned, which must be without an error.
func (w *world) wait() {
	w.t.Helper()
	select {
	case <-w.ended:
		if w.err != nil {
			w.t.Errorf("Run: %v", w.err)
		}
	case <-time.After(guard):
		w.t.Errorf("the bridge does not end; these run:\n%s", stacks())
	}
}

// eventually waits until ok. It is for what nothing announces. state tells more where that does not happen.
func eventually(t testing.TB, what string, ok func() bool, state ...func() string) {
	t.Helper()
	deadline := time.Now().Add(guard)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			for _, s := range state {
				what += ": " + s()
			}
			t.Fatalf("gave up waiting until %s", what)
		}
		<-tick.C
	}
}

// guarded is the test's context, with an end.
func guarded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	t.Cleanup(cancel)
	return ctx
}

// book is a writer that keeps all that is written, and can be waited on.
type book struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced at every write
}

func newBook() *book { return &book{changed: make(chan struct{})} }

// Write keeps p.
func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
	return b.text.Write(p)
}

// String is all that was written so far.
func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits for a line that holds all parts and returns it.
func (b *book) await(t testing.TB, parts ...string) string {
	t.Helper()
	timeout := time.After(guard)
	for {
		b.mu.Lock()
		text, changed := b.text.String(), b.changed
		b.mu.Unlock()
		if line := find(text, parts); line != "" {
			return line
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("gave up waiting for a line with %q in\n%s", parts, text)
		}
	}
}

// find returns the first line that holds all parts, "" for none.
func find(text string, parts []string) string {
	for line := range strings.Lines(text) {
		if holdsAll(line, parts) {
			return line
		}
	}
	return ""
}

func holdsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
