package access_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

const listed = "https://app.example.com"

func newOrigins(t *testing.T, credentials bool) http.Handler {
	t.Helper()
	o, err := access.NewOrigins(access.OriginOptions{
		Origins: []string{listed, "http://localhost:3000"}, Credentials: credentials,
		Forwarded: []string{"x-request-id"}, Exposed: []string{"x-total"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o.Handler(passed)
}

func TestOriginsRefuse(t *testing.T) {
	h := newOrigins(t, true)
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"no browser", nil, http.StatusTeapot},
		{"a listed origin", []string{"Origin", listed, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, http.StatusTeapot},
		{"a listed origin, an old browser", []string{"Origin", "http://localhost:3000"}, http.StatusTeapot},
		{"the address bar", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, http.StatusTeapot},
		{"the bridge's own page", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, http.StatusTeapot},
		{"the same, a POST", []string{"Origin", "https://bridge.example", "Sec-Fetch-Site", "same-origin"}, http.StatusTeapot},
		{"the same on plain HTTP", []string{"Origin", "http://bridge.example:8080"}, http.StatusTeapot},

		{"another origin", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"another port", []string{"Origin", listed + ":444"}, http.StatusForbidden},
		{"another scheme", []string{"Origin", "http://app.example.com"}, http.StatusForbidden},
		{"a name that goes on", []string{"Origin", listed + ".evil.example"}, http.StatusForbidden},
		{"another case", []string{"Origin", "https://APP.example.com"}, http.StatusForbidden},
		{"a sandboxed page", []string{"Origin", "null"}, http.StatusForbidden},
		{"an empty origin", []string{"Origin", ""}, http.StatusForbidden},
		{"two origins", []string{"Origin", listed, "Origin", "https://evil.example"}, http.StatusForbidden},
		{"a neighbour with the same name on another port", []string{"Origin", "http://bridge.example:9999"}, http.StatusForbidden},
		{"its name does not make a foreign page ours", []string{"Origin", "http://bridge.example:8080", "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a link on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, http.StatusForbidden},
		{"a page of another host of the site", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"an unknown site", []string{"Sec-Fetch-Site", "new-value"}, http.StatusForbidden},
		{"an image on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, http.StatusForbidden},
		{"an image on our own page", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"}, http.StatusForbidden},
		{"no-cors with a listed origin", []string{"Origin", listed, "Sec-Fetch-Mode", "no-cors"}, http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				w := ask(h, method, c.headers...)
				if w.Code != c.want {
					t.Fatalf("%s: status %d, want %d: %s", method, w.Code, c.want, w.Body)
				}
				if c.want != http.StatusForbidden {
					continue
				}
				var problem struct {
					Code, Detail string
					Status       int
				}
				if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Code != "PERMISSION_DENIED" || problem.Detail == "" {
					t.Errorf("%s: %v in %s", method, err, w.Body)
				}
			}
		})
	}
}

// A refused origin gets no CORS headers; a listed one gets exactly its own name.
func TestOriginsHeaders(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		h := newOrigins(t, credentials)
		w := ask(h, "GET", "Origin", listed)
		want := map[string]string{
			"Access-Control-Allow-Origin": listed, "Access-Control-Expose-Headers": "Retry-After, X-Total",
			"Access-Control-Allow-Credentials": map[bool]string{true: "true"}[credentials],
		}
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("credentials %v: %s is %q, want %q", credentials, name, got, value)
			}
		}
		w = ask(h, "GET", "Origin", "https://evil.example")
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("a foreign origin gets %s", name)
			}
		}
		if w.Header().Get("Vary") != "Origin" {
			t.Errorf("Vary is %q", w.Header().Get("Vary"))
		}
	}
}

func TestPreflight(t *testing.T) {
	h := newOrigins(t, false)
	preflight := func(origin, method, headers string) *httptest.ResponseRecorder {
		return ask(h, "OPTIONS", "Origin", origin, "Access-Control-Request-Method", method,
			"Access-Control-Request-Headers", headers, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors")
	}
	for _, c := range []struct {
		name, origin, method, headers string
		allowed                       bool
	}{
		{"what the contract promises", listed, "POST", "authorization,content-type,idempotency-key,last-event-id", true},
		{"a forwarded header", listed, "GET", "x-request-id", true},
		{"a deadline", listed, "POST", "grpc-timeout", true},
		{"every verb of an HTTP rule", listed, "DELETE", "", true},
		{"a header that nobody reads", listed, "GET", "x-user", false},
		{"another origin", "https://evil.example", "GET", "content-type", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := preflight(c.origin, c.method, c.headers)
			if w.Code != http.StatusNoContent {
				t.Errorf("status %d: a preflight reached the routes", w.Code)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin") != ""; got != c.allowed {
				t.Errorf("allowed %v, want %v", got, c.allowed)
			}
		})
	}
}

// Without a list nobody else is allowed (rs/cors by itself would allow all).
func TestNoOrigins(t *testing.T) {
	o, err := access.NewOrigins(access.OriginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "OPTIONS"} {
		w := ask(o.Handler(passed), method, "Origin", listed)
		if w.Code != http.StatusForbidden || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: status %d, headers %v", method, w.Code, w.Header())
		}
	}
	w := ask(o.Handler(passed), "OPTIONS", "Origin", listed, "Access-Control-Request-Method", "GET")
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight is granted: %v", w.Header())
	}
}

func TestNewOriginsRefuses(t *testing.T) {
	for _, origin := range []string{
		"", "*", "null", "app.example.com", "https://", "https://:443", "https://app.example.com/", "https://app.example.com/x",
		"https://user@app.example.com", "https://app.example.com?", "ftp://app.example.com", "HTTPS://app.example.com", "https://a b",
	} {
		if _, err := access.NewOrigins(access.OriginOptions{Origins: []string{origin}}); err == nil {
			t.Errorf("%q was accepted", origin)
		}
	}
}
