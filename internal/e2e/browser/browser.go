// Package browser drives real browsers for tests: Chromium and Firefox through puppeteer (a node process, e2e/driver.mjs),
// WebKitGTK through its WebDriver. All are headless, and all are Debian packages.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// Engines are the names of the browsers, in the order in which Each runs them.
var Engines = []string{"chromium", "firefox", "webkit"}

// engine is one running browser. Calls may overlap.
type engine interface {
	// open loads url in a new page.
	open(ctx context.Context, url string) (page, error)
	version() string
	// close ends the browser and everything that was started for it.
	close() error
}

// page is one page of a browser.
type page interface {
	// eval runs js, the body of an async function, and returns what it returns.
	eval(ctx context.Context, js string) (json.RawMessage, error)
	// screenshot writes a PNG.
	screenshot(ctx context.Context, s Screenshot) error
	// console is what the page has written to its console. Always empty in WebKit, whose driver does not tell.
	console() []string
	close(ctx context.Context) error
}

// Set starts each browser when it is first asked for, and keeps it for the tests after. The zero Set is ready; it is not
// for use by several goroutines. Close it at the end of TestMain.
type Set struct {
	running map[string]engine
}

// Each runs test in every browser, as subtests with the browsers' names, one after the other. A browser that cannot be
// started is a failure: a test that is skipped where something is missing proves nothing.
func (s *Set) Each(t *testing.T, test func(t *testing.T, b *Browser)) {
	t.Helper()
	for _, name := range Engines {
		t.Run(name, func(t *testing.T) { test(t, s.Get(t, name)) })
	}
}

// Get is the browser of the given name, one of Engines.
func (s *Set) Get(t *testing.T, name string) *Browser {
	t.Helper()
	if e, ok := s.running[name]; ok {
		return &Browser{name, e}
	}
	start := startPuppeteer
	if name == "webkit" {
		start = startWebKit
	}
	e, err := start(name)
	if err != nil {
		t.Fatalf("cannot start %s (`make install` installs what is missing): %v", name, err)
	}
	if s.running == nil {
		s.running = map[string]engine{}
	}
	s.running[name] = e
	return &Browser{name, e}
}

// Close ends all browsers that were started.
func (s *Set) Close() error {
	for name, e := range s.running {
		if err := e.close(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	s.running = nil
	return nil
}

// Browser is one running browser.
type Browser struct {
	// Name is one of Engines.
	Name   string
	engine engine
}

// Version is the browser's own name and version.
func (b *Browser) Version() string { return b.engine.version() }

// Page is an open page.
type Page struct {
	t    *testing.T
	page page
}

// pageTimeout is how long a page may take to load, and to close.
const pageTimeout = 2 * time.Minute

// Open loads url in a page that is closed at the end of the test. When the test has failed, the end of the page's
// console is in its log.
func (b *Browser) Open(t *testing.T, url string) *Page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()
	p, err := b.engine.open(ctx, url)
	if err != nil {
		t.Fatalf("%s: open %s: %v", b.Name, url, err)
	}
	t.Cleanup(func() {
		if lines := p.console(); t.Failed() {
			for _, line := range lines[max(0, len(lines)-20):] {
				t.Logf("%s console: %s", b.Name, line)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), pageTimeout)
		defer cancel()
		if err := p.close(ctx); err != nil {
			t.Errorf("%s: close %s: %v", b.Name, url, err)
		}
	})
	return &Page{t, p}
}

// Eval runs js, the body of an async function, in the page, and decodes what it returns into result, which is a pointer
// or nil. It fails the test when js throws or when within has passed.
func (p *Page) Eval(within time.Duration, js string, result any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	value, err := p.page.eval(ctx, js)
	if err != nil {
		p.t.Fatalf("eval: %v\n%s", err, js)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(value, result); err != nil {
		p.t.Fatalf("eval: %v\n%s", err, value)
	}
}

// Console is what the page has written to its console so far; nothing in WebKit.
func (p *Page) Console() []string { return p.page.console() }

// Screenshot is a picture to take of a page.
type Screenshot struct {
	Path          string // of the PNG
	Width, Height int    // of the window, in CSS pixels
	Dark          bool   // prefers-color-scheme; only Chromium can be told
}

// Screenshot writes a PNG of the page.
func (p *Page) Screenshot(s Screenshot) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), pageTimeout)
	defer cancel()
	if err := p.page.screenshot(ctx, s); err != nil {
		p.t.Fatalf("screenshot: %v", err)
	}
}
