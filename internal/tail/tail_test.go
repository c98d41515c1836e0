package tail_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what one Run did.
type result struct {
	exit           tail.ExitCode
	err            error
	stdout, stderr string
}

func run(ctx context.Context, o tail.Options) result {
	var stdout, stderr strings.Builder
	if o.Stdout == nil {
		o.Stdout = &stdout
	}
	o.Stderr = &stderr
	exit, err := tail.Run(ctx, o)
	return result{exit, err, stdout.String(), stderr.String()}
}

// lines are the events of --json.
func (r result) lines(t *testing.T) []line {
	t.Helper()
	var lines []line
	for text := range strings.Lines(r.stdout) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

type line struct {
	ID    string          `json:"id"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// roundTrip is a client whose nth request (from 0) is answered by the function, without a network.
type roundTrip func(n int, r *http.Request) (*http.Response, error)

func (f roundTrip) client() *http.Client {
	n := -1
	return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		n++
		return f(n, r)
	})}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer makes a response.
func answer(status int, contentType, body string) *http.Response {
	resp := &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)),
	}
	if contentType != "" {
		resp.Header.Set("Content-Type", contentType)
	}
	return resp
}

// streams is a client that answers the nth request with the nth body, and any further one with 204.
func streams(bodies ...string) *http.Client {
	return roundTrip(func(n int, _ *http.Request) (*http.Response, error) {
		if n >= len(bodies) {
			return answer(http.StatusNoContent, "", ""), nil
		}
		return answer(http.StatusOK, "text/event-stream; charset=utf-8", bodies[n]), nil
	}).client()
}

const anyURL = "http://bridge.test/v1/prices"

func TestEnds(t *testing.T) {
	t.Parallel()
	sse := func(body string) *http.Response { return answer(200, "text/event-stream", body) }
	retryAfter := answer(503, "text/html", "<h1>busy</h1>")
	retryAfter.Header.Set("Retry-After", "7")
	tests := []struct {
		name    string
		resp    *http.Response
		options tail.Options
		exit    tail.ExitCode
		err     string // "" for none
	}{
		{name: "code 0", resp: sse("event: stream.end\ndata: {\"code\":0,\"status\":\"OK\"}\n\n"), exit: tail.ExitOK},
		{name: "204", resp: answer(204, "", ""), exit: tail.ExitOK},
		{
			name: "code 5", resp: sse("event: stream.end\ndata: {\"code\":5,\"status\":\"NOT_FOUND\",\"message\":\"no task\"}\n\n"),
			exit: tail.ExitStatus, err: "the stream ended: NOT_FOUND: no task",
		},
		{
			name: "a code without a name", resp: sse("event: stream.end\ndata: {\"code\":99}\n\n"),
			exit: tail.ExitStatus, err: "the stream ended: code 99",
		},
		{
			name: "an end that is no status", resp: sse("event: stream.end\ndata: bye\n\n"),
			exit: tail.ExitStatus, err: "the stream ended with no code that tail knows",
		},
		{
			name: "reset under FailOnReset", resp: sse("event: stream.reset\ndata: {\"reason\":\"expired\"}\n\n"),
			options: tail.Options{FailOnReset: true}, exit: tail.ExitReset, err: "the stream was reset (expired)",
		},
		{
			name: "reset without it", exit: tail.ExitOK,
			resp: sse("event: stream.reset\ndata: {\"reason\":\"expired\"}\n\nevent: stream.end\ndata: {\"code\":0}\n\n"),
		},
		{
			name: "problem", exit: tail.ExitStatus,
			resp: answer(400, "application/problem+json", `{"title":"Bad Request","status":400,"code":"INVALID_ARGUMENT",`+
				`"detail":"2 fields","violations":[{"field":"page.size","description":"must be ≥ 1"},{"field":"","description":"a\u001b[2J"}]}`),
			err: "the server answered Bad Request: INVALID_ARGUMENT: Bad Request: 2 fields\n  page.size: must be ≥ 1\n  (request): a\\x1b[2J",
		},
		{name: "problem that is none", resp: answer(404, "application/problem+json", `[1]`), exit: tail.ExitStatus, err: "the server answered Not Found:\n  [1]"},
		{name: "JSON", resp: answer(404, "application/json", "{\"a\":\n[1,2]}"), exit: tail.ExitStatus, err: "the server answered Not Found:\n  {\"a\": [1, 2]}"},
		{name: "text", resp: answer(500, "text/plain", "a\r\n\x1b]0;x\x07\n"), exit: tail.ExitStatus, err: "the server answered Internal Server Error:\n  a\n  \\x1b]0;x\\a"},
		{name: "HTML and Retry-After", resp: retryAfter, exit: tail.ExitStatus, err: "the server answered Service Unavailable (to be asked again after 7)"},
		{
			name: "200 that is no stream", resp: answer(200, "application/x-ndjson", ""), exit: tail.ExitStatus,
			err: "the server answered OK with application/x-ndjson, which is no event stream",
		},
		{name: "200 without a type", resp: answer(200, "", ""), exit: tail.ExitStatus, err: "the server answered OK with no content type, which is no event stream"},
		{name: "another 2xx", resp: answer(202, "text/event-stream", ""), exit: tail.ExitStatus, err: "the server answered Accepted"},
		{
			name: "long text is cut", resp: answer(500, "", strings.Repeat("x", 5000)), exit: tail.ExitStatus,
			err: "the server answered Internal Server Error:\n  " + strings.Repeat("x", 1000) + " …",
		},
		{
			name: "event too large", resp: sse("data: " + strings.Repeat("x", 200)), options: tail.Options{MaxEventBytes: 100},
			exit: tail.ExitError, err: "an event is larger than 100 bytes, the most that tail reads",
		},
		{
			name: "id that cannot be sent back", resp: sse("id: a\x01\ndata: x\n\n"), exit: tail.ExitError,
			err: `the server gave the id "a\x01", which no header can carry back to it`, options: tail.Options{RetryDelay: 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options.URL = anyURL
			test.options.Client = roundTrip(func(int, *http.Request) (*http.Response, error) { return test.resp, nil }).client()
			got := run(t.Context(), test.options)
			if got.exit != test.exit {
				t.Errorf("exit code %d, want %d", got.exit, test.exit)
			}
			text := ""
			if got.err != nil {
				text = got.err.Error()
			}
			if diff := cmp.Diff(test.err, text); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options tail.Options
		want    string
	}{
		{"no URL", tail.Options{}, "no URL: give the stream's, such as http://localhost:8080/v1/prices"},
		{"no scheme", tail.Options{URL: "localhost:8080/v1"}, `"localhost:8080/v1" is no http or https URL: write http://localhost:8080/v1`},
		{"other scheme", tail.Options{URL: "ftp://a/b"}, `"ftp://a/b" is no http or https URL`},
		{"no host", tail.Options{URL: "http:///b"}, `"http:///b" names no host`},
		{"header name", tail.Options{URL: anyURL, Header: http.Header{"A b": {"c"}}}, `header name "A b": only letters, digits and !#$%&'*+-.^_` + "`|~ may be in it"},
		{"header value", tail.Options{URL: anyURL, Header: http.Header{"A": {"b\nC: d"}}}, "header A: its value holds a control character"},
		{"data", tail.Options{URL: anyURL, Data: []byte(`{"a":}`)}, "data is no JSON: invalid character '}' looking for beginning of value, at byte 6"},
		{"empty data", tail.Options{URL: anyURL, Data: []byte{}}, "data is no JSON: unexpected end of JSON input, at byte 0"},
		{"id", tail.Options{URL: anyURL, LastEventID: "a\nb"}, `last event id "a\nb": holds a control character at byte 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options.Client = roundTrip(func(int, *http.Request) (*http.Response, error) {
				t.Error("a request was sent")
				return nil, errors.New("no")
			}).client()
			got := run(t.Context(), test.options)
			if got.exit != tail.ExitUsage || got.err == nil || got.err.Error() != test.want {
				t.Errorf("exit code %d, error %v; want %d, %q", got.exit, got.err, tail.ExitUsage, test.want)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	type request struct{ Method, Host, Body, LastEventID, Accept, ContentType, Custom string }
	tests := []struct {
		name    string
		options tail.Options
		want    request
	}{
		{"GET", tail.Options{}, request{Method: "GET"}},
		{"GET from a cursor", tail.Options{LastEventID: "7.abc"}, request{Method: "GET", LastEventID: "7.abc"}},
		{"cursor as a header", tail.Options{Header: http.Header{"Last-Event-Id": {"7.abc"}}}, request{Method: "GET", LastEventID: "7.abc"}},
		{"POST", tail.Options{Data: []byte(`{"a":1}`)}, request{Method: "POST", Body: `{"a":1}`, ContentType: "application/json"}},
		{
			"headers",
			tail.Options{Header: http.Header{"Custom": {"x"}, "Accept": {"text/html"}, "Host": {"other.test"}}},
			request{Method: "GET", Custom: "x", Host: "other.test"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []request
			keys := map[string]bool{}
			test.options.URL, test.options.RetryDelay = anyURL, time.Nanosecond
			test.options.Client = roundTrip(func(n int, r *http.Request) (*http.Response, error) {
				var body []byte
				if r.Body != nil {
					body, _ = io.ReadAll(r.Body)
				}
				h := r.Header
				got = append(got, request{r.Method, r.Host, string(body), h.Get("Last-Event-ID"), h.Get("Accept"), h.Get("Content-Type"), h.Get("Custom")})
				keys[h.Get("Idempotency-Key")] = true
				switch n {
				case 0:
					return nil, errors.New("cut before the first byte")
				case 1:
					return answer(200, "text/event-stream", "id: 8.abc\n\ndata: unfini"), nil
				default:
					return answer(204, "", ""), nil
				}
			}).client()
			before := test.options.Header.Clone()
			if got := run(t.Context(), test.options); got.exit != tail.ExitOK {
				t.Errorf("exit code %d, %v", got.exit, got.err)
			}
			want := test.want
			want.Accept = "text/event-stream"
			if want.Host == "" {
				want.Host = "bridge.test"
			}
			last := want
			last.LastEventID = "8.abc" // an id without data moves the cursor
			if diff := cmp.Diff([]request{want, want, last}, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			for key := range keys {
				if len(keys) != 1 || len(key) < 22 || len(key) > 64 {
					t.Errorf("keys %v, want one of 22 to 64 characters for all requests", keys)
				}
			}
			if diff := cmp.Diff(before, test.options.Header); diff != "" {
				t.Errorf("the caller's headers were changed:\n%s", diff)
			}
		})
	}
}

func TestOwnIdempotencyKeyIsKept(t *testing.T) {
	t.Parallel()
	client := roundTrip(func(_ int, r *http.Request) (*http.Response, error) {
		if got := r.Header.Get("Idempotency-Key"); got != "mine" {
			t.Errorf("key %q, want mine", got)
		}
		return answer(204, "", ""), nil
	}).client()
	run(t.Context(), tail.Options{URL: anyURL, Client: client, Header: http.Header{"Idempotency-Key": {"mine"}}})
}
