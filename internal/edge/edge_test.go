package edge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/edge"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
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

func TestReadCancel(t *testing.T) {
	id := event.At(7, event.NewMark())
	got, err := edge.ReadCancel([]byte(`{"id": "` + id.String() + `"}`))
	if diff := cmp.Diff(id, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, body := range []string{"", "{}", "null", `{"id":7}`, `{"id":"x"}`, `{"id":"","more":1}`, `["x"]`, `{"id":"x"} {}`} {
		if got, err := edge.ReadCancel([]byte(body)); err == nil {
			t.Errorf("%s: %v, want an error", body, got)
		}
	}
}
