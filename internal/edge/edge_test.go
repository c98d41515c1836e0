package edge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/edge"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

func TestAccepts(t *testing.T) {
	for _, tc := range []struct {
		accept    string
		sse, asks bool
	}{
		{"", true, false}, // "" stands for no header
		{"*/*", true, false},
		{"text/*", true, false},
		{"text/event-stream", true, true},
		{"TEXT/Event-Stream", true, true},
		{"application/json, text/event-stream;q=0.5", true, true},
		{"application/json", false, false},
		{"text/html, */*;q=0.1", true, false},
		{"text/event-stream;q=0", false, false},
		{"text/event-stream;q=0, */*", false, false},
		{"*/*;q=0", false, false},
		{"text/*;q=0, */*", false, false},
		{"nonsense", false, false},
		{"nonsense;;, text/event-stream", true, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if tc.accept != "" {
			r.Header.Set("Accept", tc.accept)
		}
		if got := edge.Accepts(r, "text/event-stream"); got != tc.sse {
			t.Errorf("Accept %q takes SSE: %v", tc.accept, got)
		}
		if got := edge.AsksForSSE(r); got != tc.asks {
			t.Errorf("Accept %q asks for SSE: %v", tc.accept, got)
		}
	}
}

func TestPathsAreDecodedOnce(t *testing.T) {
	one := &schema.Binding{Segments: map[string]int{"x": 1}}
	deep := &schema.Binding{Segments: map[string]int{"x": 0}}
	for _, tc := range []struct {
		escaped string
		binding *schema.Binding
		want    string // of a variable that takes the whole path; "!" where it is refused
	}{
		{"plain", one, "plain"},
		{"a%20b", one, "a b"},
		{"%41", one, "A"},
		{"%2541", one, "%41"},
		{"%252F", one, "%2F"},
		{"a%2Fb", one, "!"},
		{"a%2fb", one, "!"},
		{"%25252F", one, "%252F"},
		{"%00", one, "\x00"}, // refused by the binder, which says so of every value
		{"%ff", one, "\xff"},
		{"a/b", deep, "a/b"},
		{"a%2Fb/c", deep, "a%2Fb/c"},
		{"a%20b/%25", deep, "a b/%"},
	} {
		normal, err := edge.NormalizePath(tc.escaped)
		if err != nil {
			t.Errorf("%q: %v", tc.escaped, err)
			continue
		}
		got, err := edge.DecodeVariables(tc.binding, map[string]string{"x": normal})
		if tc.want == "!" {
			if err == nil || !strings.Contains(err.Error(), "%2F") {
				t.Errorf("%q: %v, %v, want it refused", tc.escaped, got, err)
			}
			continue
		}
		if diff := cmp.Diff(map[string]string{"x": tc.want}, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", tc.escaped, err, diff)
		}
	}
	if _, err := edge.NormalizePath("/v1/%zz"); err == nil || !strings.Contains(err.Error(), "%zz") {
		t.Errorf("a malformed escape: %v", err)
	}
}

func FuzzNormalizePath(f *testing.F) {
	f.Add("/v1/a%2Fb/%2541/c%3Ad")
	f.Fuzz(func(t *testing.T, escaped string) {
		normal, err := edge.NormalizePath(escaped)
		if err != nil {
			return
		}
		if strings.Count(normal, "/") != strings.Count(escaped, "/") {
			t.Fatalf("%q became %q: other segments", escaped, normal)
		}
	})
}

func TestDecodeOwn(t *testing.T) {
	var into struct {
		ID string `json:"id"`
	}
	if !edge.DecodeOwn([]byte(`{"id": "x"}`), &into) || into.ID != "x" {
		t.Errorf("read %q", into.ID)
	}
	for _, body := range []string{"", `{"id":7}`, `{"id":"","more":1}`, `["x"]`, `{"id":"x"} {}`} {
		if edge.DecodeOwn([]byte(body), &into) {
			t.Errorf("%s was read", body)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1S": time.Second, "20m": 20 * time.Millisecond, "99999999H": 100 * time.Hour, "0n": 0, "7u": 7 * time.Microsecond, "2M": 2 * time.Minute,
	} {
		if got, ok := edge.ParseTimeout(text); !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "1.5S", "999999999S", " 1S"} {
		if got, ok := edge.ParseTimeout(text); ok {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]view.Representation{
		"":                                    view.SSE,
		"*/*":                                 view.SSE,
		"text/*":                              view.SSE,
		"application/*":                       view.NDJSON,
		"application/json":                    view.JSON,
		"application/json, text/event-stream": view.SSE,
		"text/event-stream;q=0.5, application/x-ndjson": view.NDJSON,
		"text/event-stream;q=0, */*":                    view.NDJSON,
		"application/json;q=0.9, */*;q=0.1":             view.JSON,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if got, ok := edge.Negotiate(r, "acme.Thing"); !ok || got != want {
			t.Errorf("Accept %q: %v, %v, want %v", accept, got, ok, want)
		}
	}
	body := func(accept string) view.Representation {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		got, _ := edge.Negotiate(r, "google.api.HttpBody")
		return got
	}
	for accept, want := range map[string]view.Representation{
		"*/*": view.SSE, "text/csv": view.Raw, "text/html, */*;q=0.8": view.Raw, "text/event-stream": view.SSE, "application/json": view.JSON,
	} {
		if got := body(accept); got != want {
			t.Errorf("Accept %q for a body: %v, want %v", accept, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", "image/png")
	if got, ok := edge.Negotiate(r, "acme.Thing"); ok {
		t.Errorf("image/png: %v, want nothing acceptable", got)
	}
}
