package oracle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// honest is a server of one finished chain of three links that keeps every promise, and cuts its nth response before
// byte cut(n).
func honest(cut func(n int) int) http.Handler {
	n := -1
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		cursor, resumed := r.Header.Get("Last-Event-ID"), true
		if strings.HasSuffix(cursor, ".end") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if cursor == "" {
			cursor, resumed = id(100, runA), false
		}
		position, err := strconv.Atoi(cursor[:3])
		if err != nil {
			http.Error(w, "what is "+cursor, http.StatusBadRequest)
			return
		}
		body := fmt.Sprintf(":\nretry: 1\nid: %s\nevent: stream.open\ndata: {\"resumed\":%t}\n\n", cursor, resumed)
		for p := position + 1; p <= 103; p++ {
			e := event(0, p, runA, p-100)
			body += fmt.Sprintf("id: %s\nevent: link\ndata: %s\n\n", e.ID, e.Data)
		}
		body += "id: 104.CHECK.end\nevent: stream.end\ndata: {\"code\":0}\n\n"
		w.Header().Set("Content-Type", "text/event-stream")
		at := cut(n)
		_, _ = w.Write([]byte(body[:min(at, len(body))])) // a client that has gone comes back
		if at < len(body) {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
}

func read(t *testing.T, h http.Handler, c oracle.Client) (*oracle.Transcript, error) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	c.URL, c.HTTP, c.MaxDelay = server.URL, server.Client(), time.Millisecond
	return c.Run(t.Context())
}

func TestClientOverCuts(t *testing.T) {
	t.Parallel()
	for at := 0; at < 1200; at += 7 {
		transcript, err := read(t, honest(func(n int) int {
			if n == 0 {
				return at
			}
			return 1 << 20
		}), oracle.Client{})
		if err == nil {
			err = oracle.Check(transcript, "s", true)
		}
		links := 0
		for _, r := range transcript.Records {
			if r.Event == "link" {
				links++
			}
		}
		if err != nil || links != 3 {
			t.Fatalf("cut at %d: %d links, %v", at, links, err)
		}
	}
}

// A client that has what it wants leaves, whatever else has arrived by then.
func TestClientReadsUntil(t *testing.T) {
	t.Parallel()
	transcript, err := read(t, honest(func(int) int { return 1 << 20 }), oracle.Client{
		Until: func(r oracle.Record) bool { return r.Event == "link" && r.ID == id(102, runA) },
	})
	if err != nil || len(transcript.Connections) != 1 {
		t.Errorf("%d connections, %v", len(transcript.Connections), err)
	}
	if err := oracle.Whole(transcript, 1, 2); err != nil {
		t.Error(err)
	}
}

func TestClientNotesConnections(t *testing.T) {
	t.Parallel()
	var came []oracle.Record
	transcript, err := read(t, honest(func(n int) int { return []int{200, 1 << 20}[n] }), oracle.Client{
		OnRecord: func(r oracle.Record) { came = append(came, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range transcript.Connections {
		got = append(got, fmt.Sprintf("%q %d %t", c.Presented, c.Status, c.Err != nil))
	}
	want := []string{`"" 200 true`, `"100.AAAAAAAAAAAAA001" 200 false`, `"104.CHECK.end" 204 false`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(transcript.Records, came); diff != "" {
		t.Errorf("OnRecord (-want +got):\n%s", diff)
	}
}

func TestClientSendsItsRequestEachTime(t *testing.T) {
	t.Parallel()
	n := 0
	var got []string
	_, err := read(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %s %s %v", r.Method, r.Header.Get("Content-Type"), r.Header.Get("X-A"), body, err))
		if n++; n == 2 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
	}), oracle.Client{Verb: http.MethodPost, Body: `{"a":1}`, Header: http.Header{"X-A": {"b"}}})
	want := `POST application/json b {"a":1} <nil>`
	if diff := cmp.Diff([]string{want, want}, got); diff != "" || err != nil {
		t.Errorf("error %v; requests (-want +got):\n%s", err, diff)
	}
}

func TestClientEnds(t *testing.T) {
	t.Parallel()
	_, err := read(t, http.NotFoundHandler(), oracle.Client{})
	if err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("error %v, want the status", err)
	}
	hold := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewServer(hold)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c := oracle.Client{URL: server.URL, HTTP: server.Client(), MaxDelay: time.Millisecond, Silence: 20 * time.Millisecond, Cursor: "9.x"}
	transcript, err := c.Run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || len(transcript.Connections) < 2 {
		t.Fatalf("error %v, %d connections; want the deadline after some silent ones", err, len(transcript.Connections))
	}
	if first := transcript.Connections[0]; !errors.Is(first.Err, oracle.ErrSilent) || first.Presented != "9.x" {
		t.Errorf("first connection %+v, want a silent one from 9.x", first)
	}
}

func TestOddities(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"data: a\r\n\r\n":             "a carriage return",
		"\uFEFFdata: a\n\n":           "a byte order mark",
		"data: \xFF\n\n":              "bytes that are not UTF-8",
		"date: a\n\n":                 "an unknown field",
		"id: \x00\n\n":                "an id with a NUL",
		"retry: soon\n\n":             "a retry that is no number",
		"data: a\n\n:\nretry: 1\n\n:": "",
	}
	for body, want := range tests {
		transcript := parse(t, body)
		got := strings.Join(transcript.Connections[0].Oddities, "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// parse reads one body, without a network.
func parse(t *testing.T, body string) *oracle.Transcript {
	t.Helper()
	n := 0
	c := oracle.Client{URL: "http://bridge.test/", MaxDelay: time.Nanosecond, HTTP: &http.Client{
		Transport: transport(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			if n++; n == 1 {
				w.Header().Set("Content-Type", "text/event-stream")
				w.WriteHeader(http.StatusOK)
				_, _ = w.WriteString(body)
			} else {
				w.WriteHeader(http.StatusNoContent)
			}
			return w.Result(), nil
		}),
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // an id that cannot be presented is tried for ever
	defer cancel()
	transcript, err := c.Run(ctx)
	if err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return transcript
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzParser compares the oracle's parser with the bridge's: two readings of one standard.
func FuzzParser(f *testing.F) {
	f.Add("\uFEFFid: 1\r\nevent: x\rdata: a\r\rdata: b\n\nid: 2\n\nid: 3\ndata: c\n")
	f.Add("id\ndata\n\n:c\nretry: 1\ndata:  x\ndata\n\nevent\n\n")
	f.Add("id: \x00\ndata: \x00\n\n data: x\n\n")
	f.Fuzz(func(t *testing.T, body string) {
		if !utf8.ValidString(body) {
			t.Skip("the oracle reports bytes that are not UTF-8, and does not count what they stand for")
		}
		var want []oracle.Record
		p := sse.NewParser(strings.NewReader(body), 0)
		for {
			e, err := p.Next()
			if err != nil {
				break
			}
			r := oracle.Record{Event: e.Type, Data: e.Data}
			if e.HasID {
				r.ID = e.ID
			}
			want = append(want, r)
		}
		for _, r := range p.LastEventID() {
			if r < ' ' || r == 0x7F {
				t.Skip("net/http sends no such header")
			}
		}
		got := parse(t, body)
		if diff := cmp.Diff(want, got.Records); diff != "" {
			t.Fatalf("%q (-bridge's +oracle's):\n%s", body, diff)
		}
		if last := got.Connections[len(got.Connections)-1].Presented; last != p.LastEventID() {
			t.Fatalf("%q: last id %q, the bridge's parser says %q", body, last, p.LastEventID())
		}
	})
}

// beats is a body of heartbeats, one each 20 s, then an event without an id, and the end.
type beats struct {
	ctx  context.Context // the request's
	left int
}

func (b *beats) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(20 * time.Second):
	}
	switch b.left--; {
	case b.left > 0:
		return copy(p, ":\n\n"), nil
	case b.left == 0:
		return copy(p, "data: x\n\n"), nil
	default:
		return 0, io.EOF
	}
}

func TestHeartbeatsAndTheCursorAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := oracle.Client{URL: "http://bridge.test/", Cursor: "9.x", HTTP: &http.Client{
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				if n++; n > 1 {
					return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
				}
				head := http.Header{"Content-Type": {"text/event-stream"}}
				return &http.Response{StatusCode: http.StatusOK, Header: head, Body: io.NopCloser(&beats{r.Context(), 10})}, nil
			}),
		}}
		transcript, err := c.Run(t.Context())
		want := []oracle.Connection{{Presented: "9.x", Status: 200}, {Presented: "9.x", Status: 204}}
		if diff := cmp.Diff(want, transcript.Connections); diff != "" || err != nil {
			t.Errorf("error %v; connections (-want +got):\n%s", err, diff)
		}
	})
}
