package browser_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

// stream is a stream that ends by itself, on a server that speaks the contract: the stand-in of contract, or the bridge.
type stream struct {
	addr  string   // HOST:PORT
	path  string   // a key that begins with _ is added to its query, which the contract ignores
	types []string // of the application's events
	data  []string // of the application's events, in order
}

// url is s's path for one case of a test.
func (s stream) url(name string) string {
	separator := "?"
	if strings.Contains(s.path, "?") {
		separator = "&"
	}
	return s.path + separator + "_case=" + name
}

func caseOf(r *http.Request) string { return r.URL.Query().Get("_case") }

// watching reads s to its end.
func (s stream) watching() browser.Watching {
	return browser.Watching{
		Types: append([]string{"stream.open", "stream.reset", "stream.waiting", "stream.busy", "stream.end"}, s.types...),
		Until: "stream.end",
	}
}

// hosts is how many origins share the streams of one test. What takes time is the `retry` that each of them waits for.
const hosts = 24

// A browser that loses its connection at any byte of the response comes back and misses nothing.
func TestCutAtEveryByte(t *testing.T) { cutAtEveryByte(t, contract(t)) }

func cutAtEveryByte(t *testing.T, s stream) {
	t.Helper()
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		t.Run("reset", func(t *testing.T) { cutEverywhere(t, b, s, cutproxy.Cut{Body: true}, 1) })
		t.Run("close", func(t *testing.T) { cutEverywhere(t, b, s, cutproxy.Cut{Body: true, Close: true}, 1) })
		// From the first byte of the head on. Only resets: what is closed inside a head is no HTTP, and each engine has
		// its own idea of what it is.
		t.Run("head", func(t *testing.T) { cutEverywhere(t, b, s, cutproxy.Cut{}, 11) })
	})
}

// cutEverywhere reads s many times; each time the first response is cut step bytes further on, up to its last byte.
func cutEverywhere(t *testing.T, b *browser.Browser, s stream, how cutproxy.Cut, step int) {
	t.Helper()
	var mu sync.Mutex
	cutAlready := map[string]bool{}
	p := cutproxy.Start(t, cutproxy.Options{
		Target: s.addr,
		Hosts:  hosts,
		Pages:  map[string]string{browser.PagePath: browser.PageHTML},
		Plan: func(r *http.Request) *cutproxy.Cut {
			after, err := strconv.Atoi(caseOf(r))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || cutAlready[caseOf(r)] {
				return nil
			}
			cutAlready[caseOf(r)] = true
			cut := how
			cut.After = after
			return &cut
		},
	})
	length := wholeLength(t, p, s, how.Body)
	var paths []string
	for after := 0; after <= length; after += step {
		paths = append(paths, s.url(strconv.Itoa(after)))
	}
	seen := b.Watch(t, p.Origins(), paths, s.watching())
	exchanges := byCase(t, p.Exchanges())
	failed, older := 0, 0
	for i, saw := range seen {
		after := i * step
		problem := s.whole(saw)
		if problem == "" {
			var latest bool
			latest, problem = comesBack(exchanges[strconv.Itoa(after)])
			if !latest {
				older++
			}
		}
		if problem == "" {
			continue
		}
		t.Errorf("cut after %d of %d bytes: %s\nsaw %+v", after, length, problem, saw)
		if failed++; failed == 5 {
			t.Fatal("and so on")
		}
	}
	t.Logf("%d cuts; after %d of them the browser came back with an older id than that of the last whole frame", len(seen), older)
	// When all come back with an older one, cursors do not work at all.
	if older > len(seen)/4 {
		t.Errorf("%d of %d came back with an older id", older, len(seen))
	}
}

// wholeLength is the length of s's response when nobody cuts it, as raw bytes: with or without the head.
func wholeLength(t *testing.T, p *cutproxy.Proxy, s stream, bodyOnly bool) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Origins()[0]+s.url("whole"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", s.path, response.Status, err)
	}
	raw := byCase(t, p.Exchanges())["whole"][0].Response
	if !hasEnd(idsIn(raw)) {
		t.Fatalf("%s does not end by itself: %q", s.path, raw)
	}
	if bodyOnly {
		_, raw, _ = bytes.Cut(raw, []byte("\r\n\r\n"))
	}
	return len(raw)
}

// byCase sorts exchanges by the case in their URL.
func byCase(t *testing.T, all []cutproxy.Exchange) map[string][]cutproxy.Exchange {
	t.Helper()
	cases := map[string][]cutproxy.Exchange{}
	for _, e := range all {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.Request)))
		if err != nil {
			t.Fatal(err)
		}
		cases[caseOf(request)] = append(cases[caseOf(request)], e)
	}
	return cases
}

// whole says what is wrong with what a page saw of s; "" when it saw each event once, in order, and the end.
func (s stream) whole(saw browser.Seen) string {
	if saw.Ended != "until" {
		return fmt.Sprintf("the stream ended by %q, want stream.end", saw.Ended)
	}
	var data, types []string
	last := 0
	for _, e := range saw.Events {
		position, err := strconv.Atoi(e.ID[:max(0, strings.IndexByte(e.ID, '.'))])
		switch {
		case err != nil:
			return fmt.Sprintf("id %q has no position", e.ID)
		case e.Type == "stream.open":
			if position < last {
				return fmt.Sprintf("the position went down from %d to %d", last, position)
			}
			// In WebKit lines of the cut connection can stand before it.
			line := e.Data[strings.LastIndexByte(e.Data, '\n')+1:]
			if !json.Valid([]byte(line)) {
				return fmt.Sprintf("the last line of stream.open is no JSON: %q", e.Data)
			}
		default:
			if position <= last {
				return fmt.Sprintf("%s: the position went from %d to %d", e.Type, last, position)
			}
			types = append(types, e.Type)
			if e.Type != "stream.end" {
				data = append(data, e.Data)
			}
		}
		last = position
	}
	if diff := cmp.Diff(s.data, data); diff != "" {
		return "events (-want +got):\n" + diff
	}
	if i := slices.IndexFunc(types, func(x string) bool { return strings.HasPrefix(x, "stream.") }); i != len(types)-1 {
		return fmt.Sprintf("types %q, want application events and one stream.end", types)
	}
	return ""
}

// comesBack says what is wrong with the request after a cut: it presents the id of a frame that had arrived whole, or
// none. Mostly it is the last such frame (latest is true). But Chromium can throw away what has arrived just before the
// connection fails; the page has not seen it then, and asks for it again.
func comesBack(exchanges []cutproxy.Exchange) (latest bool, problem string) {
	cut := slices.IndexFunc(exchanges, func(e cutproxy.Exchange) bool { return e.Cut })
	if cut < 0 {
		// A page that has read the end closes the stream, perhaps before the last bytes, which are framing.
		if slices.ContainsFunc(exchanges, func(e cutproxy.Exchange) bool { return hasEnd(idsIn(e.Response)) }) {
			return true, ""
		}
		return false, fmt.Sprintf("none of %d responses was cut", len(exchanges))
	}
	ids := idsIn(exchanges[cut].Response)
	last := ids[len(ids)-1]
	if len(exchanges) == cut+1 {
		if hasEnd(ids) {
			return true, ""
		}
		return false, "no request after the cut"
	}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(exchanges[cut+1].Request)))
	if err != nil {
		return false, err.Error()
	}
	got := request.Header.Get("Last-Event-ID")
	if !slices.Contains(ids, got) {
		return false, fmt.Sprintf("came back with Last-Event-ID %q, want one of %q", got, ids)
	}
	return got == last, resumes(exchanges[cut+1].Response, got)
}

// resumes says what is wrong with the response to a request that presented an id: it reads on from there.
func resumes(raw []byte, presented string) string {
	switch {
	case presented == "":
		return ""
	case strings.HasSuffix(presented, ".end"):
		if !bytes.HasPrefix(raw, []byte("HTTP/1.1 204 ")) {
			return fmt.Sprintf("presented the end and got %q, want 204", raw)
		}
		return ""
	case len(idsIn(raw)) < 2 || idsIn(raw)[1] != presented || !bytes.Contains(raw, []byte(`"resumed":true`)):
		return fmt.Sprintf("presented %q and got no stream.open that resumes there: %q", presented, raw)
	}
	return ""
}

func hasEnd(ids []string) bool { return strings.HasSuffix(ids[len(ids)-1], ".end") }

// idsIn are the ids of the whole frames of a raw response that may have been cut; the first is "", for none.
func idsIn(raw []byte) []string {
	ids := []string{""}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		return ids // cut inside the head
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	whole := string(body[:max(0, bytes.LastIndex(body, []byte("\n\n")))])
	for line := range strings.Lines(whole) {
		if value, ok := strings.CutPrefix(line, "id: "); ok {
			ids = append(ids, strings.TrimSuffix(value, "\n"))
		}
	}
	return ids
}
