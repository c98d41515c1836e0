package browser_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
	"github.com/grpc-sse/grpc-sse/internal/e2e/nginx"
)

// watchOne reads one stream of target to whatever end it has, and returns what was seen and the requests' outcomes: the
// status codes of the responses, in order.
func watchOne(t *testing.T, b *browser.Browser, target, path string, within time.Duration) (saw browser.Seen, statuses []string) {
	t.Helper()
	p := cutproxy.Start(t, cutproxy.Options{Target: target, Pages: map[string]string{browser.PagePath: browser.PageHTML}})
	saw = b.Watch(t, p.Origins(), []string{path}, browser.Watching{
		Types: []string{"stream.open", "stream.reset", "stream.waiting", "stream.busy", "stream.end", "note"}, Within: within,
	})[0]
	for _, e := range p.Exchanges() {
		line, _, _ := strings.Cut(string(e.Response), "\r\n")
		_, code, _ := strings.Cut(line, " ")
		statuses = append(statuses, code)
	}
	return saw, statuses
}

// What a page sees in the end: EventSource asks again after every end, and only a status stops it.
func TestBridgeEnds(t *testing.T) {
	backend, addr := bridged(t)
	backend.Define("ok", script.Note("one"), script.End())
	backend.Define("fails", script.Note("one"), script.Fail(codes.PermissionDenied, "not <you>"))
	backend.Define("refuses", script.Fail(codes.NotFound, "no such thing"))
	tests := []struct {
		name     string
		types    []string
		last     string // data of the last event
		statuses []string
	}{
		{"ok", []string{"stream.open", "note", "stream.end"}, `{"code":0,"status":"OK"}`, []string{"200 OK", "204 No Content"}},
		{
			"fails",
			[]string{"stream.open", "note", "stream.end"},
			`{"code":7,"status":"PERMISSION_DENIED","message":"not \u003cyou\u003e"}`,
			[]string{"200 OK", "204 No Content"},
		},
		{"refuses", nil, "", []string{"404 Not Found"}},
		{"unknown-script", nil, "", []string{"404 Not Found"}},
	}
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				saw, statuses := watchOne(t, b, addr, "/v1/play/"+test.name, 2*time.Minute)
				if saw.Ended != "closed" {
					t.Errorf("ended by %q, want closed by the browser for good", saw.Ended)
				}
				if diff := cmp.Diff(test.statuses, statuses); diff != "" {
					t.Errorf("statuses (-want +got):\n%s", diff)
				}
				var types []string
				last := ""
				for _, e := range saw.Events {
					types, last = append(types, e.Type), e.Data
				}
				if diff := cmp.Diff(test.types, types); diff != "" {
					t.Errorf("types (-want +got):\n%s", diff)
				}
				if last != test.last {
					t.Errorf("last event %s, want %s", last, test.last)
				}
			})
		}
	})
}

// A backend that says nothing, not even its headers: the page is connected all the same, within the open window.
func TestBridgeSilentBackend(t *testing.T) {
	backend, addr := bridged(t)
	backend.Define("silent", script.Gate("never"))
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		saw, _ := watchOne(t, b, addr, "/v1/play/silent", 2*time.Second)
		if saw.Opens != 1 || saw.Errors != 0 || len(saw.Events) != 1 || saw.Events[0].Type != "stream.open" {
			t.Errorf("saw %+v, want open and stream.open", saw)
		}
	})
}

// Browsers open six connections to one host on HTTP/1.1. The seventh stream waits until another is closed, and then
// comes as if nothing had been.
func TestBridgeSeventhStreamWaits(t *testing.T) {
	backend, addr := bridged(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		gate := "seventh-" + b.Name
		backend.Define(gate, script.Note("here"), script.Gate(gate))
		defer backend.Open(gate)
		p := cutproxy.Start(t, cutproxy.Options{Target: addr, Pages: map[string]string{browser.PagePath: browser.PageHTML}})
		page := b.Open(t, p.Origins()[0]+browser.PagePath)

		var opened []bool
		page.Eval(2*time.Minute, fmt.Sprintf(`
			window.sources = Array.from({length: 7}, (_, i) => new EventSource("/v1/play/%s?stream=" + i));
			window.opened = sources.map((source) => new Promise((resolve) => { source.onopen = () => resolve(true); }));
			const late = new Promise((resolve) => setTimeout(resolve, 2000, false));
			return Promise.all(opened.map((o) => Promise.race([o, late])));`, gate), &opened)
		if diff := cmp.Diff([]bool{true, true, true, true, true, true, false}, opened); diff != "" {
			t.Fatalf("open after 2 s (-want +got):\n%s", diff)
		}
		var seventh bool
		page.Eval(2*time.Minute, `sources[0].close(); const ok = await opened[6]; for (const s of sources) s.close(); return ok`, &seventh)
		if !seventh {
			t.Error("the seventh stream did not open after the first was closed")
		}
	})
}

// nginx with its defaults asks in HTTP/1.0 and buffers; events pass at once all the same, and cuts behind it resume.
func TestBridgeBehindNginx(t *testing.T) {
	backend, addr := bridged(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		name := "nginx-" + b.Name
		backend.Define(name, script.Note("one"), script.Gate(name), script.Note("two"))
		front := nginx.Start(t, nginx.Options{Target: addr})
		p := cutproxy.Start(t, cutproxy.Options{Target: front, Pages: map[string]string{browser.PagePath: browser.PageHTML}})
		page := b.Open(t, p.Origins()[0]+browser.PagePath)

		// The second event is sent only when the first has been seen.
		var first string
		page.Eval(2*time.Minute, fmt.Sprintf(`
			window.source = new EventSource("/v1/play/%s");
			window.notes = [];
			let seen;
			const one = new Promise((resolve) => { seen = resolve; });
			source.addEventListener("note", (e) => { notes.push(e.data); seen(e.data); });
			window.ended = new Promise((resolve) => source.addEventListener("stream.end", (e) => { source.close(); resolve(notes); }));
			return one;`, name), &first)
		if want := `{"n":"1","note":{"text":"one"}}`; first != want {
			t.Errorf("first event %s, want %s", first, want)
		}
		p.CutAll()
		backend.Open(name)
		var all []string
		page.Eval(2*time.Minute, `return ended`, &all)
		if diff := cmp.Diff([]string{`{"n":"1","note":{"text":"one"}}`, `{"n":"2","note":{"text":"two"}}`}, all); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		calls := backend.Calls("")
		n := 0
		for _, call := range calls {
			if call.GetScript() == name {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d calls of the backend, want 1: the cut one goes on", n)
		}
	})
}

// Cuts at every seventh byte of what nginx makes of the response.
func TestBridgeBehindNginxCuts(t *testing.T) {
	s := three(t)
	s.addr = nginx.Start(t, nginx.Options{Target: s.addr})
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		cutEverywhere(t, b, s, cutproxy.Cut{Body: true}, 7)
	})
}

// A page of another origin is refused before the backend is called.
func TestBridgeForeignPage(t *testing.T) {
	backend, addr := bridged(t)
	backend.Define("private", script.Note("secret"))
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		p := cutproxy.Start(t, cutproxy.Options{Target: addr, Pages: map[string]string{browser.PagePath: browser.PageHTML}, Hosts: 2})
		var saw browser.Seen
		b.Open(t, p.Origins()[0]+browser.PagePath).Eval(2*time.Minute,
			fmt.Sprintf(`return watch(%q, {types: ["note"], within: 5000})`, p.Origins()[1]+"/v1/play/private?stream="+b.Name), &saw)
		if saw.Ended != "closed" || len(saw.Events) != 0 {
			t.Errorf("saw %+v, want nothing and closed for good", saw)
		}
		if calls := backend.Calls(b.Name); len(calls) != 0 {
			t.Errorf("the backend was called: %v", calls)
		}
		refused := slices.ContainsFunc(p.Exchanges(), func(e cutproxy.Exchange) bool {
			return strings.Contains(string(e.Request), "/v1/play/") && strings.HasPrefix(string(e.Response), fmt.Sprintf("HTTP/1.1 %d ", http.StatusForbidden))
		})
		if !refused {
			t.Error("no response was 403")
		}
	})
}
