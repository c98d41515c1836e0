package clients_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

// client is a client under test.
type client struct {
	name  string // for JavaScript, of its module
	post  bool   // it sends the request as a body
	ended string // how it knows the end of a stream
	plain bool   // it asks for plain frames and sees neither types nor stream.*
	// halves: where a response ends cleanly inside a frame it takes what it has for the whole. HTTP/1 responses that end
	// with their connection can look so; chunked ones and HTTP/2 cannot.
	halves bool
	// chunked: its responses are, and each time the lines may be in other chunks. So responses differ in length, and a cut
	// near the end of one can lie behind the end of another.
	chunked bool
	read    func(t *testing.T, streams []reading) []seen
}

var clients = []client{
	{name: "eventsource", ended: "status 204"},
	{name: "eventsource-plain", ended: "status 204", plain: true},
	{name: "fetch-event-source-get", ended: "resolved"},
	{name: "fetch-event-source-post", post: true, ended: "resolved"},
	{name: "ndjson", post: true, ended: "status 204", chunked: true},
	{name: "openai", post: true, ended: "[DONE]", plain: true},
	{name: "go-sse", ended: "status 204", halves: true, read: inGo},
}

// A client that loses its connection at any byte of the response comes back by itself, is handed each event once and in
// order, and stops at the end.
func TestCutAtEveryByte(t *testing.T) {
	w := start(t)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait for the `retry` that they were told
			t.Run("reset", func(t *testing.T) {
				for _, problem := range w.cutEverywhere(t, c, cutproxy.Cut{Body: true}, 2) {
					t.Error(problem)
				}
			})
			t.Run("close", func(t *testing.T) {
				if c.halves {
					w.takesHalves(t, c, cutproxy.Cut{Body: true, Close: true}, 2)
					return
				}
				for _, problem := range w.cutEverywhere(t, c, cutproxy.Cut{Body: true, Close: true}, 7) {
					t.Error(problem)
				}
			})
		})
	}
}

// Why e2e/clients/fetch-event-source.mjs says itself where to go on.
func TestFetchEventSourceTakesHalves(t *testing.T) {
	t.Parallel()
	bare := client{name: "fetch-event-source-bare", post: true, ended: "resolved"}
	start(t).takesHalves(t, bare, cutproxy.Cut{Body: true}, 10)
}

// takesHalves checks what docs/browsers.md says of a client: it takes the id of a frame whose rest never came, and so
// loses the frame's event, or hands it out without its data; go-sse also stops, without an error, where a response ends
// behind nothing but a comment. When this fails the client was mended: say so there.
func (w *world) takesHalves(t *testing.T, c client, how cutproxy.Cut, step int) {
	t.Helper()
	problems := w.cutEverywhere(t, c, how, step)
	if len(problems) == 0 {
		t.Error("nothing was lost")
	}
	for _, problem := range problems {
		if !strings.Contains(problem, "events (-want +got)") && !strings.Contains(problem, `ended by "<nil>"`) {
			t.Errorf("another problem than a lost event: %s", problem)
		}
	}
}

// maxChunking is more than what the frames of chunks take in the responses of this test: their sizes and line ends.
const maxChunking = 64

// cutEverywhere reads the stream many times at once; each time the first response is cut step bytes further on. It
// returns what was wrong, at most five problems.
func (w *world) cutEverywhere(t *testing.T, c client, how cutproxy.Cut, step int) (problems []string) {
	t.Helper()
	if c.read == nil {
		c.read = func(t *testing.T, streams []reading) []seen {
			t.Helper()
			return inNode(t, c.name, streams)
		}
	}
	var mu sync.Mutex
	cutAlready := map[string]bool{}
	p := cutproxy.Start(t, cutproxy.Options{Target: w.addr, Plan: func(r *http.Request) *cutproxy.Cut {
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
	}})
	stream := fmt.Sprintf("run%d", w.runs.Add(1)) // tells these calls from others
	ask := func(name string) reading {
		key := fmt.Sprintf("%s-%030s", stream, name)
		if c.post {
			return reading{p.Origins()[0] + "/v1/play?_case=" + name, key, map[string]string{"script": "three", "stream": stream}}
		}
		return reading{p.Origins()[0] + "/v1/play/three?stream=" + stream + "&_case=" + name, key, nil}
	}
	whole := c.read(t, []reading{ask("whole")})[0]
	if problem := w.wrong(c, stream, whole, 0); problem != "" {
		t.Fatalf("without a cut: %s", problem)
	}
	length := bodyLength(t, p)
	var streams []reading
	// A client that has read the end may go before the last byte is cut.
	for after := 0; after < length-len("\n"); after += step {
		streams = append(streams, ask(strconv.Itoa(after)))
	}
	for i, saw := range c.read(t, streams) {
		cuts := 1
		if c.chunked && i*step >= length-maxChunking {
			cuts = 0 // nothing may be lost there, either
		}
		if problem := w.wrong(c, stream, saw, cuts); problem != "" && len(problems) < 5 {
			problems = append(problems, fmt.Sprintf("cut after %d of %d bytes: %s\nsaw %+v", i*step, length, problem, saw))
		}
	}
	if calls := len(w.backend.Calls(stream)); calls != len(streams)+1 {
		problems = append(problems, fmt.Sprintf("%d calls of the backend for %d streams", calls, len(streams)+1))
	}
	t.Logf("%d cuts", len(streams))
	return problems
}

// wrong says what is wrong with what a client saw of a stream that was cut so often; "" for nothing.
func (w *world) wrong(c client, stream string, saw seen, cuts int) string {
	if saw.Ended != c.ended {
		return fmt.Sprintf("ended by %q, want %q", saw.Ended, c.ended)
	}
	if saw.Errors < cuts {
		return fmt.Sprintf("it noticed %d cuts, want %d", saw.Errors, cuts)
	}
	var want, got []event
	for i, text := range texts {
		want = append(want, event{Type: "note", Data: fmt.Sprintf(`{"n":"%d","stream":"%s","note":{"text":"%s"}}`, i+1, stream, text)})
	}
	want = append(want, event{Type: "stream.end", Data: `{"code":0,"status":"OK"}`})
	if c.plain {
		for i := range want {
			want[i].Type = "message"
		}
		want[len(want)-1].Data = "[DONE]"
		if c.ended == "[DONE]" {
			want = want[:len(want)-1]
		}
	}
	for _, e := range saw.Events {
		if e.Type != "stream.open" {
			got = append(got, event{Type: e.Type, Data: e.Data})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return "events (-want +got):\n" + diff
	}
	return ""
}

// bodyLength is the length of the first response's body, with its chunk sizes.
func bodyLength(t *testing.T, p *cutproxy.Proxy) int {
	t.Helper()
	all := p.Exchanges()
	i := slices.IndexFunc(all, func(e cutproxy.Exchange) bool {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.Request)))
		return err == nil && caseOf(r) == "whole"
	})
	_, body, found := bytes.Cut(all[i].Response, []byte("\r\n\r\n"))
	if !found {
		t.Fatalf("no whole response: %q", all[i].Response)
	}
	return len(body)
}

func caseOf(r *http.Request) string { return r.URL.Query().Get("_case") }
