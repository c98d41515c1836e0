package access_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// passed answers what the handlers under test let through.
var passed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

// ask sends a request with these headers, given as names and values, through h.
func ask(h http.Handler, method string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://bridge.example:8080/v1/prices", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestForwarder(t *testing.T) {
	f, err := access.NewForwarder([]string{"authorization", "x-request-id", "authorization", "cookie"})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for _, kv := range [][2]string{
		{"Authorization", "Bearer a"},
		{"AUTHORIZATION", "Bearer b"},
		{"X-Request-Id", "7"},
		{"Grpc-Metadata-Authorization", "Bearer evil"},
		{"Grpc-Timeout", "1n"},
		{"X-User", "root"},
		{"Host", "x"},
	} {
		h.Add(kv[0], kv[1])
	}
	want := metadata.MD{"authorization": {"Bearer a", "Bearer b"}, "x-request-id": {"7"}}
	if diff := cmp.Diff(want, f.Metadata(h)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestForwarderRefusesNames(t *testing.T) {
	for _, name := range []string{
		"", "Authorization", "grpc-timeout", "grpc-", "trace-bin", "a b", "a:b", ":path", "ä", "a\n", "host", "te", "connection",
		"content-type", "user-agent",
	} {
		if _, err := access.NewForwarder([]string{"authorization", name}); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	if f, err := access.NewForwarder(nil); err != nil || len(f.Metadata(http.Header{"Authorization": {"x"}})) != 0 {
		t.Errorf("an empty list: %v", err)
	}
}

// A header that cannot be forwarded refuses the request: without it, it would be another request.
func TestForwarderHandler(t *testing.T) {
	f, err := access.NewForwarder([]string{"authorization", "x-many"})
	if err != nil {
		t.Fatal(err)
	}
	h := f.Handler(passed)
	many := func(n int, value string) []string {
		var headers []string
		for range n {
			headers = append(headers, "X-Many", value)
		}
		return headers
	}
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"none", nil, http.StatusTeapot},
		{"printable", []string{"Authorization", "Bearer ~ !"}, http.StatusTeapot},
		{"empty", []string{"Authorization", ""}, http.StatusTeapot},
		{"not ASCII", []string{"Authorization", "Bearer ä"}, http.StatusBadRequest},
		{"not UTF-8", []string{"Authorization", "\xff"}, http.StatusBadRequest},
		{"a line break", []string{"Authorization", "a\r\nx-user: root"}, http.StatusBadRequest},
		{"NUL", []string{"Authorization", "a\x00"}, http.StatusBadRequest},
		{"a tab", []string{"Authorization", "a\tb"}, http.StatusBadRequest},
		{"an odd header that is not listed", []string{"X-Other", "\xff"}, http.StatusTeapot},
		{"64 values", many(64, "x"), http.StatusTeapot},
		{"65 values", many(65, "x"), http.StatusRequestHeaderFieldsTooLarge},
		{"7 KiB", many(1, strings.Repeat("x", 7<<10-6)), http.StatusTeapot},
		{"more than 7 KiB", many(1, strings.Repeat("x", 7<<10-5)), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(h, "GET", c.headers...)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if c.want != http.StatusTeapot && strings.Contains(w.Body.String(), "Bearer") {
				t.Errorf("the answer repeats the value: %s", w.Body)
			}
		})
	}
}

// Whatever a client sends, metadata holds listed names, printable values, and no more than the caps.
func TestForwarderProperty(t *testing.T) {
	f, err := access.NewForwarder([]string{"authorization", "x-a"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"Authorization", "X-A", "X-B", "Grpc-Timeout", "X-Bin", "authorization"})
		values := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,900}`)), 0, 40)
		h := http.Header(rapid.MapOf(names, values).Draw(t, "headers"))
		count, size := 0, 0
		for name, values := range f.Metadata(h) {
			if name != "authorization" && name != "x-a" {
				t.Errorf("the name %q was forwarded", name)
			}
			for _, v := range values {
				count, size = count+1, size+len(name)+len(v)
				if strings.Trim(v, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
					t.Errorf("%q was forwarded", v)
				}
			}
		}
		if count > 64 || size > 7<<10 {
			t.Errorf("%d values of %d bytes were forwarded", count, size)
		}
	})
}

func TestPrincipals(t *testing.T) {
	of := func(header, cookie string, headers ...string) access.Principal {
		p, err := access.NewPrincipals(header, cookie)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		return p.Of(r)
	}
	ann := of("X-User", "", "X-User", "ann")
	if ann.Anonymous() || ann != of("x-user", "", "x-user", "ann", "X-Other", "y", "Cookie", "sid=1") {
		t.Error("the same user is not the same principal")
	}
	session := of("", "sid", "Cookie", "theme=dark; sid=1")
	if session.Anonymous() || session != of("", "sid", "Cookie", "sid=1; theme=light") {
		t.Error("the same session is not the same principal")
	}
	different := map[access.Principal]string{}
	for name, p := range map[string]access.Principal{
		"ann": ann, "bob": of("X-User", "", "X-User", "bob"), "Ann": of("X-User", "", "X-User", "Ann"),
		"ann, forged before bob": of("X-User", "", "X-User", "ann", "X-User", "bob"),
		"bob, forged before ann": of("X-User", "", "X-User", "bob", "X-User", "ann"),
		"annbob":                 of("X-User", "", "X-User", "annbob"),
		"nothing and ann":        of("X-User", "", "X-User", "", "X-User", "ann"),
		"two sessions":           of("", "sid", "Cookie", "sid=1; sid=2"),
		"session":                session,
	} {
		if other, ok := different[p]; ok || p.Anonymous() {
			t.Errorf("%s is the same as %s, or anonymous", name, other)
		}
		different[p] = name
	}
	for name, p := range map[string]access.Principal{
		"neither configured": of("", "", "X-User", "ann", "Cookie", "sid=1"),
		"no header":          of("X-User", ""),
		"an empty header":    of("X-User", "", "X-User", ""),
		"no cookie":          of("", "sid", "Cookie", "other=1"),
		"an empty cookie":    of("", "sid", "Cookie", "sid="),
		"nil":                (*access.Principals)(nil).Of(httptest.NewRequest(http.MethodGet, "/", nil)),
	} {
		if !p.Anonymous() {
			t.Errorf("%s: not anonymous", name)
		}
	}
	if _, err := access.NewPrincipals("X-User", "sid"); err == nil {
		t.Error("both a header and a cookie were accepted")
	}
}

// Two lists of values never make one principal, however they are cut.
func TestPrincipalProperty(t *testing.T) {
	p, err := access.NewPrincipals("X-User", "")
	if err != nil {
		t.Fatal(err)
	}
	lists := rapid.SliceOfN(rapid.StringMatching(`[a_\x01]{0,4}`), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := lists.Draw(t, "a"), lists.Draw(t, "b")
		pa := p.Of(&http.Request{Header: http.Header{"X-User": a}})
		pb := p.Of(&http.Request{Header: http.Header{"X-User": b}})
		empty := strings.Join(a, "") == "" && strings.Join(b, "") == ""
		if same := cmp.Equal(a, b) || empty; (pa == pb) != same {
			t.Errorf("%q and %q: same principal %v, want %v", a, b, pa == pb, same)
		}
	})
}
