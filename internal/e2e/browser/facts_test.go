package browser_test

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

// fact is one thing that the contract builds on and that engines do differently, or might. What each does is written in
// the table of docs/browsers.md, where the row's first cell is the fact's name.
type fact struct {
	name    string
	answers []answer // to the first request, the second, …; the last one to all others, too
	within  time.Duration
	// read says what the browser did, in the words of the table.
	read func(saw browser.Seen, got []ask) string
}

type answer func(w http.ResponseWriter, r *http.Request)

// ask is a request that the server got.
type ask struct {
	at     time.Time
	path   string
	header http.Header
}

// finish is the last answer of most facts: the page stops when it has it.
const finish = "event: fin\ndata: x\n\n"

// says answers with an event stream that ends cleanly.
func says(body string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(body))
	}
}

// breaks answers with an event stream that is reset. The reset comes a little later: Chromium can throw away what
// arrives together with it.
func breaks(body string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		_, _ = w.Write([]byte(body))
		_ = control.Flush()
		<-time.After(150 * time.Millisecond)
		if conn, _, err := control.Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}
}

// dies resets the connection before the first byte of a response.
func dies(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// stays sends the head and then nothing until the browser goes away.
func stays(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func redirects(status int) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"/target?"+r.URL.RawQuery, status)
	}
}

// presented is the cursor with which the browser came back.
func presented(_ browser.Seen, got []ask) string {
	if len(got) < 2 {
		return "does not come back"
	}
	if id := got[1].header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return "none"
}

func closedOrNot(saw browser.Seen, got []ask) string {
	switch {
	case saw.Ended == "closed" && len(got) == 1:
		return "closes for good"
	case len(got) > 1:
		return "asks again"
	}
	return saw.Ended
}

// pause is the time between the first two requests, in the table's steps.
func pause(step time.Duration) func(browser.Seen, []ask) string {
	return func(_ browser.Seen, got []ask) string {
		if len(got) < 2 {
			return "does not come back"
		}
		steps := math.Round(float64(got[1].at.Sub(got[0].at)) / float64(step))
		return (time.Duration(steps) * step).String()
	}
}

func where(_ browser.Seen, got []ask) string {
	if len(got) < 3 {
		return "does not come back"
	}
	if strings.HasSuffix(got[2].path, "/target") {
		return "the target"
	}
	return "the original URL"
}

func firstData(saw browser.Seen, _ []ask) string {
	for _, e := range saw.Events {
		if e.Type != "fin" {
			return fmt.Sprintf("`%s` with %q", e.Type, e.Data)
		}
	}
	return "no event"
}

func status(code int) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(code)
	}
}

var facts = []fact{
	{name: "status 204", answers: []answer{status(204)}, read: closedOrNot},
	{name: "status 401", answers: []answer{status(401)}, read: closedOrNot},
	{name: "status 429", answers: []answer{status(429)}, read: closedOrNot},
	{name: "status 500", answers: []answer{status(500)}, read: closedOrNot},
	{name: "status 503", answers: []answer{status(503)}, read: closedOrNot},
	{name: "another MIME type", answers: []answer{func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}}, read: closedOrNot},
	{name: "reset in mid-stream", answers: []answer{breaks("retry: 10\n\n"), says(finish)}, read: closedOrNot},
	{name: "clean end in mid-stream", answers: []answer{says("retry: 10\n\n"), says(finish)}, read: closedOrNot},
	{
		name: "one `new EventSource` whose connection dies before the first byte sends its request", within: 2500 * time.Millisecond,
		// Within this time only the network stack repeats; EventSource itself waits for longer.
		answers: []answer{dies},
		read: func(_ browser.Seen, got []ask) string {
			return map[bool]string{true: "several times", false: "once"}[len(got) > 1]
		},
	},
	{name: "delay before it comes back, default", within: 9 * time.Second, answers: []answer{breaks(":\n\n"), says(finish)}, read: pause(time.Second)},
	{name: "delay before it comes back, `retry: 10`", answers: []answer{says("retry: 10\n\n"), says(finish)}, read: func(_ browser.Seen, got []ask) string {
		if len(got) > 1 && got[1].at.Sub(got[0].at) > 450*time.Millisecond {
			return "500 ms"
		}
		return "as told"
	}},
	{name: "response with only `retry`, twice", answers: []answer{says("retry: 10\n\n"), says("retry: 10\n\n"), says(finish)}, read: func(_ browser.Seen, got []ask) string {
		return fmt.Sprintf("%d requests", len(got))
	}},
	{name: "cursor after a frame with only an id", answers: []answer{breaks("retry: 10\nid: 1.a\ndata: x\n\nid: 2.b\n\n"), says(finish)}, read: presented},
	{name: "cursor after a frame with an empty data line", answers: []answer{breaks("retry: 10\nid: 1.a\ndata: x\n\nid: 2.b\ndata:\n\n"), says(finish)}, read: presented},
	{name: "cursor after half a frame and a reset", answers: []answer{breaks("retry: 10\nid: 1.a\ndata: x\n\nid: 2.b\ndata: y\n"), says(finish)}, read: presented},
	{name: "cursor of 120 bytes", answers: []answer{breaks("retry: 10\nid: " + strings.Repeat("1", 120) + "\ndata: x\n\n"), says(finish)}, read: func(saw browser.Seen, got []ask) string {
		if presented(saw, got) == strings.Repeat("1", 120) {
			return "whole"
		}
		return presented(saw, got)
	}},
	{name: "data after half a frame and a reset", answers: []answer{breaks("retry: 10\nevent: half\ndata: old\n"), says(":\ndata: new\n\n" + finish)}, read: firstData},
	{name: "data after half a frame and a clean end", answers: []answer{says("retry: 10\nevent: half\ndata: old\n"), says(":\ndata: new\n\n" + finish)}, read: firstData},
	{name: "`open` on a head without a body", within: 2 * time.Second, answers: []answer{stays}, read: func(saw browser.Seen, _ []ask) string {
		return map[bool]string{true: "fires", false: "waits"}[saw.Opens > 0]
	}},
	{name: "`event: error` from the server", answers: []answer{says("event: error\ndata: x\n\n" + finish)}, read: func(saw browser.Seen, _ []ask) string {
		return map[bool]string{true: "fires onerror", false: "does not fire onerror"}[saw.Errors > 0]
	}},
	{name: "`event: open` from the server", answers: []answer{says("event: open\ndata: x\n\n" + finish)}, read: func(saw browser.Seen, _ []ask) string {
		return map[bool]string{true: "fires onopen", false: "does not fire onopen"}[saw.Opens > 1]
	}},
	{name: "`Accept-Encoding`, over http on one machine", answers: []answer{says(finish)}, read: func(_ browser.Seen, got []ask) string {
		return got[0].header.Get("Accept-Encoding")
	}},
	{name: "after a redirect (307), comes back to", answers: []answer{redirects(307), breaks("retry: 10\n\n"), says(finish)}, read: where},
	{name: "after a redirect (301), comes back to", answers: []answer{redirects(301), breaks("retry: 10\n\n"), says(finish)}, read: where},
}

// lab answers as facts say, and remembers who asked.
type lab struct {
	mu  sync.Mutex
	got map[string][]ask // by the fact's name
}

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == browser.PagePath {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(browser.PageHTML))
		return
	}
	i := slices.IndexFunc(facts, func(f fact) bool { return f.name == caseOf(r) })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	l.mu.Lock()
	n := len(l.got[facts[i].name])
	l.got[facts[i].name] = append(l.got[facts[i].name], ask{time.Now(), r.URL.Path, r.Header.Clone()})
	l.mu.Unlock()
	facts[i].answers[min(n, len(facts[i].answers)-1)](w, r)
}

// What docs/browsers.md says about the engines is what they do.
func TestFacts(t *testing.T) {
	documented := readFacts(t)
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		l := &lab{got: map[string][]ask{}}
		server := httptest.NewServer(l)
		t.Cleanup(server.Close)
		byTime := map[time.Duration][]fact{}
		for _, f := range facts {
			byTime[f.within] = append(byTime[f.within], f)
		}
		for within, group := range byTime {
			// Some facts are about time, and a busy machine makes every pause longer: what looks wrong is looked at again.
			for tries := 2; len(group) != 0; tries-- {
				group = checkFacts(t, b, l, server.URL, within, group, documented, tries == 0)
			}
		}
	})
}

// checkFacts looks at what a browser does and returns the facts that are not as documented; in the last try they are
// errors, and none is returned.
func checkFacts(t *testing.T, b *browser.Browser, l *lab, url string, within time.Duration, group []fact,
	documented map[string]map[string]string, last bool,
) (wrong []fact) {
	t.Helper()
	var paths []string
	for _, f := range group {
		paths = append(paths, "/lab?_case="+strings.ReplaceAll(f.name, " ", "%20"))
	}
	seen := b.Watch(t, []string{url}, paths, browser.Watching{
		Types: []string{"message", "half", "error", "open", "fin"}, Until: "fin", Within: within,
	})
	for i, f := range group {
		asked := l.take(f.name)
		got, want := f.read(seen[i], asked), documented[f.name][b.Name]
		t.Logf("%s: %d requests", f.name, len(asked))
		switch {
		case got == want:
		case last:
			t.Errorf("%s: %s; docs/browsers.md says %q\nsaw %+v", f.name, got, want, seen[i])
		default:
			wrong = append(wrong, f)
		}
	}
	return wrong
}

// take returns the requests of a fact and forgets them.
func (l *lab) take(name string) []ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.got[name]
	delete(l.got, name)
	return asked
}

// readFacts reads the table of docs/browsers.md: fact, then what each engine does in the order of browser.Engines.
func readFacts(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/browsers.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 1+len(browser.Engines) || strings.HasPrefix(cells[0], "---") {
			continue
		}
		does := map[string]string{}
		for i, name := range browser.Engines {
			does[name] = strings.TrimSpace(cells[i+1])
		}
		documented[strings.TrimSpace(cells[0])] = does
	}
	for _, f := range facts {
		if documented[f.name] == nil {
			t.Errorf("docs/browsers.md has no row %q", f.name)
		}
	}
	return documented
}
