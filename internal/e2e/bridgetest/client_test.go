package bridgetest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// option changes a request before it is sent.
type option func(*http.Request)

// header sets a request header.
func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// from presents an id.
func from(id string) option { return header("Last-Event-ID", id) }

// asEventSource sends what a browser's EventSource does.
func asEventSource(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }

// request makes a request; a body is sent as JSON.
func (w *world) request(verb, path, body string, options ...option) *http.Request {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(guarded(w.t), verb, w.base+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(r)
	}
	return r
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the whole response.
func (w *world) do(verb, path, body string, options ...option) answer {
	w.t.Helper()
	return w.send(w.request(verb, path, body, options...))
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	return w.sendBy(w.client, r)
}

func (w *world) sendBy(client *http.Client, r *http.Request) answer {
	w.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatalf("%s %s: reading the body: %v", r.Method, r.URL, err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// vary are the request headers that the answer depends on.
func (a answer) vary() []string {
	return strings.Split(strings.Join(a.header.Values("Vary"), ", "), ", ")
}

// adminGet reads a page of the admin listener.
func (w *world) adminGet(path string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(guarded(w.t), http.MethodGet, w.admin+path, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.sendBy(w.probe, r)
}

// problem is the body of an error.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	Violations                []struct{ Field, Description string }
}

// text is all that the problem says to people, in one line.
func (p problem) text() string {
	text := p.Detail
	for _, v := range p.Violations {
		text += " | " + v.Field + ": " + v.Description
	}
	return text
}

// problem checks that the answer is a problem with this status whose text has all parts, and returns it.
func (a answer) problem(t testing.TB, status int, parts ...string) problem {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json", got)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("the body is no JSON: %v: %s", err, a.body)
	}
	if p.Status != status {
		t.Errorf("the body says status %d, the head %d", p.Status, status)
	}
	if !holdsAll(p.text(), parts) {
		t.Errorf("the problem says\n  %s\nwant all of %q", p.text(), parts)
	}
	return p
}

// busy checks that the answer tells EventSource to come back later, for this reason.
func (a answer) busy(t testing.TB, reason string) {
	t.Helper()
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("status %d, %q: %s; want stream.busy", a.status, a.header.Get("Content-Type"), a.body)
	}
	p := sse.NewParser(strings.NewReader(a.body), 0)
	e, err := p.Next()
	if err != nil || e.Type != "stream.busy" || e.Data != `{"reason":"`+reason+`"}` || e.HasID || e.Retry < 0 {
		t.Fatalf("%+v, %v: want stream.busy %q with a retry and no id", e, err, reason)
	}
	if _, err := p.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("something follows stream.busy: %v", err)
	}
}

// stream is a response that is read event by event.
type stream struct {
	t        testing.TB
	response *http.Response
	parser   *sse.Parser
	opening  sse.Event // stream.open
	lastID   string
}

// get opens a stream by GET.
func (w *world) get(path string, options ...option) *stream {
	w.t.Helper()
	return w.open(w.request(http.MethodGet, path, "", options...))
}

// post opens a stream by POST.
func (w *world) post(path, body string, options ...option) *stream {
	w.t.Helper()
	return w.open(w.request(http.MethodPost, path, body, options...))
}

// open sends a request and reads the first frame of the stream that answers it.
func (w *world) open(r *http.Request) *stream {
	w.t.Helper()
	response, err := w.client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	w.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		body, _ := io.ReadAll(response.Body)
		w.t.Fatalf("%s %s: %s, %q: %s", r.Method, r.URL, response.Status, response.Header.Get("Content-Type"), body)
	}
	s := &stream{t: w.t, response: response, parser: sse.NewParser(response.Body, 0)}
	s.opening = s.expect("stream.open")
	return s
}

// next returns the next event.
func (s *stream) next() sse.Event {
	s.t.Helper()
	e, err := s.parser.Next()
	if err != nil {
		s.t.Fatalf("no next event: %v", err)
	}
	if e.HasID {
		s.lastID = e.ID
	}
	return e
}

// expect returns the next event, which must be of this type and hold all parts.
func (s *stream) expect(eventType string, parts ...string) sse.Event {
	s.t.Helper()
	e := s.next()
	if e.Type != eventType || !holdsAll(e.Data, parts) {
		s.t.Fatalf("event %s %s, want %s with %q", e.Type, e.Data, eventType, parts)
	}
	return e
}

// after is expect for an event before which any number of stream.waiting may come.
func (s *stream) after(eventType string, parts ...string) sse.Event {
	s.t.Helper()
	for {
		e := s.next()
		if e.Type == "stream.waiting" && eventType != e.Type {
			continue
		}
		if e.Type != eventType || !holdsAll(e.Data, parts) {
			s.t.Fatalf("event %s %s, want %s with %q", e.Type, e.Data, eventType, parts)
		}
		return e
	}
}

// over checks that the response ends here, cleanly.
func (s *stream) over() {
	s.t.Helper()
	if e, err := s.parser.Next(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("event %s %s, error %v: want the end of the response", e.Type, e.Data, err)
	}
}

// leave closes the connection, as a browser that goes away does.
func (s *stream) leave() { _ = s.response.Body.Close() }

// opening is what stream.open says of the cursor that was presented.
type opening struct {
	Resumed bool
	Reason  string
}

// openData is the data of stream.open.
func (s *stream) openData() opening {
	s.t.Helper()
	var data opening
	if err := json.Unmarshal([]byte(s.opening.Data), &data); err != nil {
		s.t.Fatalf("stream.open: %v: %s", err, s.opening.Data)
	}
	return data
}

// mustJSON is v as JSON.
func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
