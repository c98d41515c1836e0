package readme_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// chatPage is a page with the README's JavaScript.
func chatPage(t *testing.T) string {
	t.Helper()
	var js strings.Builder
	for _, b := range parse("README.md", read(t, "README.md")).blocks {
		if b.language == "js" {
			js.WriteString(b.text)
		}
	}
	if js.String() == "" {
		t.Fatal("the README has no JavaScript")
	}
	return "<!doctype html><meta charset=utf-8><title>README</title><link rel=icon href=data:,>" +
		"<pre id=answer></pre><p id=state></p><button id=stop>Stop</button><script>" + js.String() + "</script>"
}

// answerTo is the demo's whole answer to a prompt.
func answerTo(t *testing.T, d demo, prompt string) string {
	t.Helper()
	response, err := http.Get("http://" + d.bridge + "/v1/chat?tokens_per_second=1000&prompt=" + prompt)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var text strings.Builder
	for events := sse.NewParser(response.Body, 1<<20); ; {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		var data struct{ Token struct{ Text string } }
		if err := json.Unmarshal([]byte(event.Data), &data); err != nil {
			t.Fatal(err)
		}
		if text.WriteString(data.Token.Text); event.Type == "stream.end" {
			return text.String()
		}
	}
}

// chat is what such a page shows.
type chat struct{ Answer, State string }

// until looks at the page until it is as wanted.
func until(t *testing.T, p *browser.Page, what string, wanted func(chat) bool) chat {
	t.Helper()
	deadline := time.Now().Add(guard)
	for {
		var c chat
		p.Eval(guard, `return { Answer: answer.textContent, State: state.textContent }`, &c)
		if wanted(c) {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page does not show %s, but %+v", what, c)
		}
		p.Eval(guard, `await new Promise((done) => setTimeout(done, 50))`, nil)
	}
}

// The README's page gets the whole answer over a connection that is cut inside a frame, and its button stops a call.
func TestJavaScript(t *testing.T) {
	d := startDemo(t, tools(t))
	page, answer := chatPage(t), answerTo(t, d, "resume")
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		var cut atomic.Bool
		var resumed atomic.Int32
		proxy := cutproxy.Start(t, cutproxy.Options{
			Target: d.bridge,
			Pages:  map[string]string{"/page": page},
			Plan: func(r *http.Request) *cutproxy.Cut {
				if r.Header.Get("Last-Event-ID") != "" {
					resumed.Add(1)
				}
				if !strings.HasPrefix(r.URL.Path, "/v1/chat") || !cut.CompareAndSwap(false, true) {
					return nil
				}
				return &cutproxy.Cut{After: 1500, Body: true}
			},
		})
		p := b.Open(t, proxy.Origins()[0]+"/page")
		p.Eval(guard, `ask('resume')`, nil)
		until(t, p, "the cut", func(c chat) bool { return c.State == "reconnecting" })
		until(t, p, "the resume", func(c chat) bool { return c.State == "resumed" })
		whole := until(t, p, "the end", func(c chat) bool { return c.State == "done" })
		if whole.Answer != answer {
			t.Errorf("the page shows\n%s\ninstead of\n%s", whole.Answer, answer)
		}
		if resumed.Load() != 1 {
			t.Errorf("%d requests with an id", resumed.Load())
		}

		p.Eval(guard, `ask('resume')`, nil)
		until(t, p, "a second answer", func(c chat) bool { return len(c.Answer) > len(whole.Answer) })
		p.Eval(guard, `stop.click()`, nil)
		until(t, p, "the stop", func(c chat) bool { return strings.HasPrefix(c.State, "CANCELLED: ") })
		for _, line := range p.Console() {
			if strings.HasPrefix(line, "uncaught") {
				t.Error(line)
			}
		}
	})
}
