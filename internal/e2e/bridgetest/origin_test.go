package bridgetest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

const page = "https://app.example.com"

// listed is a bridge that the page may use.
func listed(t *testing.T) (*world, *script.Backend) {
	t.Helper()
	b, address := scripted(t)
	b.Define("one", script.Note("a"))
	return start(t, upstreams(address)+"cors: {origins: ['"+page+"'], credentials: true}\n"), b
}

func TestCORS(t *testing.T) {
	w, _ := listed(t)
	check := func(what string, h http.Header) {
		t.Helper()
		if h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.EqualFold(h.Get("Access-Control-Expose-Headers"), "Retry-After") {
			t.Errorf("%s: headers %v", what, h)
		}
		if vary := (answer{header: h}).vary(); !slices.Contains(vary, "Origin") {
			t.Errorf("%s: Vary %q", what, vary)
		}
	}
	s := w.get("/v1/play/one", header("Origin", page))
	check("stream", s.response.Header)
	s.expect("note")
	s.expect("stream.end")
	check("204", w.do("GET", "/v1/play/one", "", header("Origin", page), from(s.lastID)).header)
	check("unary", w.do("GET", "/v1/echo/x", "", header("Origin", page)).header)
	check("404", w.do("GET", "/v1/nothing", "", header("Origin", page)).header)
	check("400", w.do("GET", "/v1/echo/x?y=z", "", header("Origin", page)).header)
	check("cancel", w.do("POST", "/sse.cancel", `{"id":"1.AAAAAAAAAAAAAAAA"}`, header("Origin", page)).header)
}

// Preflights are answered before routing: also for paths that are not there (yet), and without the request's credentials.
func TestPreflight(t *testing.T) {
	p := newPort(t)
	w := launch(t, upstreams(p.address)+"cors: {origins: ['"+page+"']}\nforward_metadata: {headers: [x-tenant]}\n")
	for _, name := range []string{"Last-Event-ID", "Content-Type", "Authorization", "Idempotency-Key", "X-Tenant"} {
		// Browsers send the names in lower case.
		a := w.do("OPTIONS", "/v1/anything", "", header("Origin", page),
			header("Access-Control-Request-Method", "POST"), header("Access-Control-Request-Headers", strings.ToLower(name)))
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != page ||
			!strings.EqualFold(a.header.Get("Access-Control-Allow-Headers"), name) || a.header.Get("Access-Control-Allow-Methods") != "POST" {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
	a := w.do("OPTIONS", "/v1/anything", "", header("Origin", "https://evil.example"),
		header("Access-Control-Request-Method", "GET"))
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight of an unlisted origin: %d %v", a.status, a.header)
	}
}

// What comes from a page that is not listed is refused before anything is called.
func TestForeignPages(t *testing.T) {
	w, b := listed(t)
	for _, test := range []struct {
		name    string
		options []option
		says    string
	}{
		{"unlisted origin", []option{header("Origin", "https://evil.example")}, `"https://evil.example"`},
		{"another scheme", []option{header("Origin", "http://app.example.com")}, `"http://app.example.com"`},
		{"another port", []option{header("Origin", page+":8443")}, "8443"},
		{"a name that begins alike", []option{header("Origin", page+".evil.example")}, "cors.origins"},
		{"null", []option{header("Origin", "null")}, `"null"`},
		{"no origin, another site", []option{header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate")}, "another site"},
		{"no origin, another subdomain", []option{header("Sec-Fetch-Site", "same-site")}, "another site"},
		{"an image", []option{header("Sec-Fetch-Site", "same-origin"), header("Sec-Fetch-Mode", "no-cors")}, "EventSource"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for path, body := range map[string]string{"/v1/play/one": "", "/v1/echo/x": "", "/v1/play": `{"script":"one"}`} {
				verb := "GET"
				if body != "" {
					verb = "POST"
				}
				a := w.do(verb, path, body, test.options...)
				a.problem(t, 403, test.says)
				if a.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: the page may read the answer: %v", path, a.header)
				}
			}
		})
	}
	w.do("GET", "/v1/play/one", "", header("Sec-Purpose", "prefetch")).problem(t, 503, "prefetched")
	if a := w.do("HEAD", "/v1/play/one", ""); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if calls := b.Calls(""); len(calls) != 0 {
		t.Errorf("the backend was called: %v", calls)
	}
	w.get("/v1/play/one", header("Sec-Fetch-Site", "same-origin"), header("Sec-Fetch-Mode", "cors")).expect("note")
	w.get("/v1/play/one", header("Origin", w.base)).expect("note")
}
