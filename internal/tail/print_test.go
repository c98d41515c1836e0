package tail_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

const exampleStream = ":\nretry: 0\nid: 1.m\nevent: stream.open\ndata: {\"resumed\":false}\n\n" +
	"id: 2.m\nevent: price\ndata: {\"symbol\":\"GO\",\"note\":\"a\\u003cb, \\\"c:d\\\"\",\"tags\":[1,2]}\n\n" +
	"data: plain\ndata: text \x1b[2J\n\n" +
	"event: ticks\ndata:\n\n" +
	"event: stream.waiting\ndata: {\"code\":\"UNAVAILABLE\",\"attempt\":2,\"retryInMs\":1500}\n\n" +
	"id: 3.m\nevent: stream.bookmark\ndata: {}\n\n" +
	"id: 4.m\nevent: stream.undecodable\ndata: {\"type\":\"a.B\",\"reason\":\"unknown Any\",\"size\":12}\n\n" +
	"id: 5.m\nevent: stream.reset\ndata: {\"reason\":\"expired\",\"missed\":12}\n\n" +
	"event: stream.unheard\ndata: {\"a\":1}\n\n" +
	"event: stream.busy\ndata: {\"reason\":\"drain\"}\n\n" +
	"id: 6.c.end\nevent: stream.end\ndata: {\"code\":5,\"status\":\"NOT_FOUND\",\"message\":\"gone\"}\n\n"

func TestPrintsForPeople(t *testing.T) {
	t.Parallel()
	want := `-- open  [1.m]
2.m  price  {"symbol": "GO", "note": "a<b, \"c:d\"", "tags": [1, 2]}
message  plain
  text \x1b[2J
ticks
-- waiting for the backend: UNAVAILABLE, attempt 2, next try in 1.5s
-- bookmark  [3.m]
-- undecodable message: unknown Any (a.B, 12 bytes)  [4.m]
-- reset: expired, 12 missed; what follows does not continue what came before  [5.m]
stream.unheard  {"a": 1}
-- busy: drain; the connection ends, the stream does not
-- end: NOT_FOUND: gone  [6.c.end]
`
	got := run(t.Context(), tail.Options{URL: anyURL, Client: streams(exampleStream)})
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if got.stderr != "" {
		t.Errorf("stderr %q, want nothing", got.stderr)
	}
}

func TestPrintsOpen(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"resumed":true}`: "-- open, resumed\n",
		`{"resumed":false,"reason":"unknown_cursor"}`: "-- open, not resumed: unknown_cursor\n",
		`[]`: "stream.open  []\n",
		`{"resumed":false,"reason":"a\u001b[31m\u202e"}`: "-- open, not resumed: a\\x1b[31m\\u202e\n",
	} {
		got := run(t.Context(), tail.Options{URL: anyURL, RetryDelay: 1, Client: streams("event: stream.open\ndata: " + data + "\n\n")})
		if diff := cmp.Diff(want, got.stdout); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", data, diff)
		}
	}
}

func TestPrintsJSONLines(t *testing.T) {
	t.Parallel()
	body := "id: 2.m\nevent: price\ndata: {\"a\":\ndata:  \"\\u003cb>\", \"n\": 12345678901234567890.10}\n\n" +
		"data: plain \x1b text\ndata: two\n\ndata: \"quoted\"\n\ndata:\n\nid\ndata: null\n\n"
	want := `{"id":"2.m","event":"price","data":{"a":"\u003cb>","n":12345678901234567890.10}}
{"event":"message","data":"plain \u001b text\ntwo"}
{"event":"message","data":"quoted"}
{"event":"message","data":""}
{"id":"","event":"message","data":null}
`
	got := run(t.Context(), tail.Options{URL: anyURL, JSON: true, RetryDelay: 1, Client: streams(body)})
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
}

func TestColours(t *testing.T) {
	t.Parallel()
	body := "id: 2.m\nevent: price\ndata: {}\n\nevent: stream.open\ndata: {}\n\nevent: stream.end\ndata: {\"code\":0}\n\n"
	want := "\x1b[2m2.m\x1b[0m  \x1b[36mprice\x1b[0m  {}\n\x1b[2m-- open\x1b[0m\n\x1b[32m-- end: OK\x1b[0m\n"
	got := run(t.Context(), tail.Options{URL: anyURL, Color: true, Client: streams(body)})
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
}

func TestNotesOnConnections(t *testing.T) {
	t.Parallel()
	got := run(t.Context(), tail.Options{URL: anyURL, RetryDelay: time.Nanosecond, Client: streams("", "retry: 0\nid: 7.m\ndata: x\n\n")})
	want := "-- the server closed the connection; reconnecting in 0s\n" +
		"-- the server closed the connection; reconnecting in 0s, after id 7.m\n" +
		"-- end: 204, the stream is over\n"
	if diff := cmp.Diff(want, got.stderr); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

func TestStdoutThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	got := run(t.Context(), tail.Options{URL: anyURL, Client: streams(exampleStream), Stdout: brokenWriter{}})
	if got.exit != tail.ExitError || got.err == nil || got.err.Error() != "standard output: full" {
		t.Errorf("exit code %d, error %v; want 1 and the writer's", got.exit, got.err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("full") }

// FuzzOutput: whatever a server sends, a terminal gets no control character, and --json is one JSON object a line.
func FuzzOutput(f *testing.F) {
	f.Add(exampleStream)
	f.Add("event: \x1b[2J\nid: \u202e\ndata: \"\\\n\n")
	f.Add("data: \"\\\"\n\ndata: {\"\\u003\":1}\n\ndata: \u009b\x7f\tx\n\nid: \x7f\ndata:\n\n")
	f.Add("event: stream.end\ndata: {\"code\":\"\\u001b\",\"message\":\"\u0085\"}\n\n")
	f.Fuzz(func(t *testing.T, body string) {
		body = strings.ReplaceAll(body, "retry", "later") // a long delay would hold up the fuzzer
		o := tail.Options{URL: anyURL, Client: streams(body), RetryDelay: 1, MaxRetries: 1}
		got := run(t.Context(), o)
		text := got.stdout + got.stderr
		if got.err != nil {
			text += got.err.Error()
		}
		for _, r := range text {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
				t.Fatalf("%q reaches the terminal in %q", r, text)
			}
		}
		o.JSON, o.Client = true, streams(body)
		for line := range strings.Lines(run(t.Context(), o).stdout) {
			var members map[string]json.RawMessage
			if err := json.Unmarshal([]byte(line), &members); err != nil || members["event"] == nil || members["data"] == nil {
				t.Fatalf("line %q: %v", line, err)
			}
		}
	})
}
