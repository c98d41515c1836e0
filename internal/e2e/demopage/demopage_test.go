// Package demopage_test uses the demo's page in real browsers, as a person would.
package demopage_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/demo"
	"github.com/grpc-sse/grpc-sse/internal/demo/page"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

var browsers browser.Set

func TestMain(m *testing.M) { goleak.VerifyTestMain(closing{m}) }

// closing ends the browsers before goroutines are counted.
type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	if err := browsers.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// start runs the demo and returns the page's URL.
func start(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	backend, front := listen(t), listen(t)
	settings := config.New()
	settings.Config.Listen, settings.Config.Admin = "127.0.0.1:0", config.AdminOff
	settings.Config.Upstreams = []*configv1.Upstream{{Target: backend.Addr().String()}}
	resolved, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	resolved.DrainWindow = 0
	b, err := bridge.New(resolved, bridge.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 3) // one slot for each of the three, so that they can end before anybody asks
	go func() { ended <- demo.NewServer(demo.Options{}).Serve(ctx, backend) }()
	go func() { ended <- b.Run(ctx) }()
	p := page.New(page.Options{Bridge: b.Addr().String()})
	go func() { ended <- p.Serve(ctx, front) }()
	t.Cleanup(func() {
		stop()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return "http://" + front.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// patience is how long a page that does not answer is waited for: long, since machines may be slow.
const patience = time.Minute

// user is somebody in front of a page.
type user struct {
	t *testing.T
	p *browser.Page
}

// screen is what the page says.
type screen struct {
	State, Status, Verdict, Summary, Timeline, Wire, View string
	Events, Resumed                                       int
}

const look = `
const text = (id) => document.getElementById(id).innerText.replace(/\s+/g, ' ').trim();
return {
  State: text('state'), Status: text('status'), Verdict: document.getElementById('verdict').dataset.verdict,
  Summary: text('verdict'), Timeline: text('timeline'), Wire: text('wire'), View: text('view'),
  Events: Number(text('n-events')), Resumed: Number(text('n-resumed')),
}`

// until looks at the page until it is as wanted, and fails the test when it never is.
func (u user) until(what string, wanted func(screen) bool) screen {
	u.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var s screen
		u.p.Eval(patience, look, &s)
		if wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("the page does not show %s, but %+v", what, s)
		}
		u.p.Eval(patience, `await new Promise((done) => setTimeout(done, 100))`, nil)
	}
}

func (u user) choose(selector, value string) {
	u.p.Eval(patience, fmt.Sprintf(`document.querySelector(%q).value = %q`, selector, value), nil)
}

// click presses a button, once it can be pressed: not before the page's script has run.
func (u user) click(id string) {
	u.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var pressed bool
		u.p.Eval(patience, fmt.Sprintf(
			`const b = document.getElementById(%q); if (b.disabled) return false; b.click(); return true`, id), &pressed)
		if pressed {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("%s cannot be pressed", id)
		}
		u.p.Eval(patience, `await new Promise((done) => setTimeout(done, 100))`, nil)
	}
}

func TestCutAndResume(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		u := user{t, b.Open(t, url+"/?stream=feed")}
		u.choose("[data-for=feed] [name=interval]", "0.1s")
		u.choose("[name=count]", "30")
		u.click("start")
		u.until("events", func(s screen) bool { return s.State == "Live" && s.Events >= 5 })
		u.click("cut")
		u.until("the cut", func(s screen) bool {
			return s.State == "Reconnecting" && strings.Contains(s.Timeline, "Cut by a TCP reset inside a frame") &&
				strings.Contains(s.Wire, "in the middle of a frame")
		})
		s := u.until("the end", func(s screen) bool { return s.State == "Ended" && strings.Contains(s.Timeline, "204 No Content") })
		if s.Verdict != "good" || s.Events != 30 || s.Resumed != 1 || s.Summary != "None missing, none twice Events 1 to 30, in order, over 2 connections" {
			t.Errorf("after the end: %+v", s)
		}
		if !regexp.MustCompile(`Connection 2 200 .* Last-Event-ID: \d+\..* goes on after this id`).MatchString(s.Timeline) {
			t.Errorf("connections: %s", s.Timeline)
		}
	})
}

func TestChat(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		for _, test := range []struct{ fault, state, status, view string }{
			{"", "Ended", "Ended with OK", "the rest of this sentence. 139 tokens, complete"},
			{"FAULT_MIDWAY", "Ended", "Ended with INTERNAL: the model ran out of memory", "Failed after 69 tokens"},
			{"FAULT_BEFORE_START", "Refused", "Refused with HTTP 400: the model is not loaded", "No answer"},
		} {
			u := user{t, b.Open(t, url+"/?stream=chat")}
			u.choose("[name=tokens_per_second]", "60")
			u.choose("[name=fault]", test.fault)
			u.click("start")
			u.until(test.status, func(s screen) bool {
				return s.State == test.state && strings.HasPrefix(s.Status, test.status) && strings.Contains(s.View, test.view)
			})
		}
	})
}

func TestStop(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		u := user{t, b.Open(t, url+"/?stream=chat&start")}
		u.until("an answer", func(s screen) bool { return strings.Contains(s.View, "EventSource") })
		u.click("stop")
		u.until("the end", func(s screen) bool {
			return s.State == "Ended" && strings.HasPrefix(s.Status, "Ended with CANCELLED") && s.Verdict == "good"
		})
	})
}

// A shared call cannot be cancelled by one of its readers: the page only leaves it.
func TestPrices(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		u := user{t, b.Open(t, url+"/?stream=prices&start")}
		u.until("prices", func(s screen) bool { return s.Events >= 12 && strings.Contains(s.View, "WONKA") })
		u.click("cut")
		u.until("the way back", func(s screen) bool { return s.State == "Live" && s.Resumed == 1 && s.Verdict == "good" })
		u.click("stop")
		s := u.until("the end", func(s screen) bool { return s.State == "Ended" })
		if s.Verdict != "good" || !strings.HasPrefix(s.Status, "Left. The call goes on") {
			t.Errorf("after the end: %+v", s)
		}
	})
}

func TestTask(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		u := user{t, b.Open(t, url+"/?stream=tasks")}
		u.choose("[name=duration_ms]", "6000")
		u.click("start")
		u.until("progress", func(s screen) bool { return s.State == "Live" && strings.Contains(s.View, "Reserving a worker") })
		u.click("cut")
		s := u.until("the end", func(s screen) bool { return s.State == "Ended" })
		if s.Verdict != "good" || !strings.Contains(s.View, "100 %") || !strings.Contains(s.View, "all 5 steps done") {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// Whatever the policy blocks, or a module does wrong, ends up in the console.
func TestConsoleStaysEmpty(t *testing.T) {
	url := start(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		u := user{t, b.Open(t, url+"/?stream=feed&start")}
		u.until("events", func(s screen) bool { return s.Events >= 3 })
		u.p.Eval(patience, `document.querySelector('[data-theme-choice=dark]').click()`, nil)
		var scheme string
		u.p.Eval(patience, `return getComputedStyle(document.documentElement).colorScheme`, &scheme)
		if scheme != "dark" {
			t.Errorf("colours after the choice of dark: %q", scheme)
		}
		if lines := u.p.Console(); len(lines) > 0 {
			t.Errorf("console: %q", lines)
		}
	})
}
