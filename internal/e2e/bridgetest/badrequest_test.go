package bridgetest_test

import (
	"net/url"
	"strings"
	"testing"
)

// items is a backend with one method of each kind of route.
func items(t *testing.T) *world {
	t.Helper()
	file := descriptors(t, watch("Watch", `[google.api.http] { get: "/v1/items/{name}" additional_bindings { post: "/v1/items" body: "*" } }`)+
		watch("Tree", get("/v1/trees/{name=**}"))+
		watch("Filtered", `[google.api.http] { post: "/v1/filtered/{name}" body: "filter" }`))
	return start(t, upstreams(serve(t, newDynamic(t, file).server())))
}

// Every mistake in a request is answered by a status and a problem that says what was wrong, where, and what to do.
func TestBadRequests(t *testing.T) {
	w := items(t)
	for _, test := range []struct {
		name, verb, path, body string
		status                 int
		says                   []string
	}{
		{"unknown route", "GET", "/v1/nothing", "", 404, []string{"no method has this path", "grpc-sse routes"}},
		{"unknown route below a known one", "GET", "/v1/items/a/b", "", 404, []string{"no method has this path"}},
		{"unknown path of the bridge's own", "GET", "/sse.nothing", "", 404, []string{"/sse.", "/sse.cancel"}},
		{"unknown query key", "GET", "/v1/items/a?max_cuont=3", "", 400, []string{"max_cuont", "did you mean", "max_count"}},
		{"unknown query key, nothing like it", "GET", "/v1/items/a?zzz=3", "", 400, []string{"zzz", "name, level, maxCount, filter"}},
		{"unknown nested query key", "GET", "/v1/items/a?filter.exat=true", "", 400, []string{"filter.exat", "filter.exact"}},
		{"query key of a path variable", "GET", "/v1/items/a?name=b", "", 400, []string{"name", "path"}},
		{"query key of a message", "GET", "/v1/items/a?filter=x", "", 400, []string{"filter", "filter.ratio"}},
		{"query value twice", "GET", "/v1/items/a?maxCount=1&maxCount=2", "", 400, []string{"maxCount", "2"}},
		{"malformed query", "GET", "/v1/items/a?maxCount=%zz", "", 400, []string{"query is malformed", "%zz"}},
		{"bad number", "GET", "/v1/items/a?max_count=many", "", 400, []string{"max_count", "many", "whole number from -2147483648 to 2147483647"}},
		{"number out of range", "GET", "/v1/items/a?max_count=2147483648", "", 400, []string{"max_count", "2147483648", "2147483647"}},
		{"bad fraction", "GET", "/v1/items/a?filter.ratio=half", "", 400, []string{"filter.ratio", "half", "number"}},
		{"bad bool", "GET", "/v1/items/a?filter.exact=maybe", "", 400, []string{"filter.exact", "maybe", "true", "false"}},
		{"bad enum by name", "GET", "/v1/items/a?level=HIHG", "", 400, []string{"level", "HIHG", "HIGH"}},
		{"bad enum by number", "GET", "/v1/items/a?level=99", "", 400, []string{"level", "99", "LOW", "HIGH"}},
		{"bad enum in the body", "POST", "/v1/items", `{"level":"HIHG"}`, 400, []string{"level", "HIHG", "HIGH"}},
		{"bad number in the body", "POST", "/v1/items", `{"maxCount":"many"}`, 400, []string{"maxCount", "many", "line 1"}},
		{"unknown field in the body", "POST", "/v1/items", `{"maxCuont":1}`, 400, []string{"maxCuont", "maxCount", "line 1"}},
		{"body that is no JSON", "POST", "/v1/items", `{"name":`, 400, []string{"JSON"}},
		{"body that is no object", "POST", "/v1/items", `[1]`, 400, []string{"object"}},
		{"bad field of a body field", "POST", "/v1/filtered/a", `{"ratio":"half"}`, 400, []string{"ratio", "half"}},
		{"unknown parameter of the bridge's own", "GET", "/v1/items/a?sse.cal=x", "", 400, []string{"sse.cal", "sse.call", "sse.last_event_id"}},
		{"short sse.call", "GET", "/v1/items/a?sse.call=x", "", 400, []string{"sse.call", "22 to 64", "random"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.do(test.verb, test.path, test.body).problem(t, test.status, test.says...)
		})
	}
}

func TestBadPathVariables(t *testing.T) {
	w := items(t)
	for _, test := range []struct {
		name, path string
		status     int
		says       []string
	}{
		{"encoded slash", "/v1/items/a%2Fb", 400, []string{"name", "%2F", "not allowed"}},
		{"encoded slash, lower case", "/v1/items/a%2fb", 400, []string{"name", "%2F"}},
		{"NUL", "/v1/items/a%00b", 400, []string{"name", "NUL"}},
		{"dots", "/v1/items/%2e%2e", 400, []string{"name", `".."`}},
		{"dots as they are", "/v1/items/..", 400, []string{"name", `".."`}},
		{"one dot", "/v1/items/.", 400, []string{"name", `"."`}},
		{"dots among segments", "/v1/trees/a/../b", 400, []string{"name", `".."`}},
		{"encoded dots among segments", "/v1/trees/a/%2e%2e/b", 400, []string{"name", `".."`}},
		{"invalid UTF-8", "/v1/items/%ff", 400, []string{"name", "UTF-8"}},
		{"empty segment", "/v1/trees/a//b", 400, []string{"name", "empty"}},
		{"nothing", "/v1/items/", 400, []string{"name", "empty in the path"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := w.request("GET", "/", "")
			// As it is written: no client library may make something else of it.
			r.URL.Opaque = "//" + strings.TrimPrefix(w.base, "http://") + test.path
			w.send(r).problem(t, test.status, test.says...)
		})
	}
}

// A path that is odd but means something is served, decoded once.
func TestOddPathVariables(t *testing.T) {
	w := items(t)
	for path, want := range map[string]string{
		"/v1/items/a%20b":       "a b",
		"/v1/items/%252e%252e":  "%2e%2e",
		"/v1/items/a%252Fb":     "a%2Fb",
		"/v1/items/%E4%BD%A0":   "你",
		"/v1/items/a+b":         "a+b",
		"/v1/%69tems/a":         "a",
		"/v1/trees/a/b":         "a/b",
		"/v1/trees/a%20b/c":     "a b/c",
		"/v1/trees/a/%252e/..b": "a/%2e/..b",
	} {
		t.Run(path, func(t *testing.T) {
			s := w.get(path)
			quoted := strings.Trim(mustJSON(t, want), `"`)
			s.expect("test.v1.Event", `"name":"`+quoted+`"`)
			s.expect("stream.end", `"code":0`)
			s.over()
		})
	}
}

func TestWrongVerb(t *testing.T) {
	w := items(t)
	for path, allow := range map[string]string{
		"/v1/items/a":          "GET, HEAD, OPTIONS",
		"/v1/items":            "POST, OPTIONS",
		"/test.v1.Items/Watch": "GET, HEAD, POST, OPTIONS",
		"/sse.cancel":          "POST",
	} {
		t.Run(path, func(t *testing.T) {
			a := w.do("DELETE", path, "")
			a.problem(t, 405, strings.Split(allow, ", ")[0])
			if got := a.header.Get("Allow"); got != allow {
				t.Errorf("Allow: %q, want %q", got, allow)
			}
		})
	}
	t.Run("OPTIONS", func(t *testing.T) {
		a := w.do("OPTIONS", "/v1/items", "")
		if a.status != 204 || a.header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%d, Allow: %q", a.status, a.header.Get("Allow"))
		}
	})
	t.Run("override", func(t *testing.T) {
		w.do("DELETE", "/v1/items/a", "", header("X-HTTP-Method-Override", "GET")).problem(t, 405)
	})
}

// Of templates that overlap the most specific one is taken, in whatever order they are declared.
func TestOverlappingTemplates(t *testing.T) {
	methods := []string{
		watch("Any", get("/v1/{name=**}")), watch("One", get("/v1/items/{name}")),
		watch("Special", get("/v1/items/special")), watch("Below", get("/v1/items/{name=*}/sub")),
	}
	backward := []string{methods[3], methods[2], methods[1], methods[0]}
	for order, list := range map[string][]string{"general first": methods, "special first": backward} {
		t.Run(order, func(t *testing.T) {
			file := descriptors(t, strings.Join(list, ""))
			w := start(t, upstreams(serve(t, newDynamic(t, file).server())))
			for path, method := range map[string]string{
				"/v1/items/special":     "Special",
				"/v1/items/specials":    "One",
				"/v1/items/special/sub": "Below",
				"/v1/items/a/other":     "Any",
				"/v1/x":                 "Any",
			} {
				w.get(path).expect("test.v1.Event", `"method":"`+method+`"`)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	w := items(t)
	large := `{"name":"` + strings.Repeat("x", 64<<10) + `"}`
	for _, test := range []struct {
		name, verb, path, body string
		option                 option
		status                 int
		says                   []string
	}{
		{"oversized", "POST", "/v1/items", large, nil, 413, []string{"larger than 65536 bytes"}},
		{"no JSON", "POST", "/v1/items", "name=a", header("Content-Type", "application/x-www-form-urlencoded"), 415, []string{"form-urlencoded", "send application/json"}},
		{"text as a simple request", "POST", "/v1/items", "{}", header("Content-Type", "text/plain"), 415, []string{"text/plain"}},
		{"no type", "POST", "/v1/items", "{}", header("Content-Type", ""), 415, []string{"send application/json"}},
		{"compressed", "POST", "/v1/items", "{}", header("Content-Encoding", "gzip"), 415, []string{"gzip", "as it is"}},
		{"where none is taken", "GET", "/v1/items/a", "{}", nil, 400, []string{"/v1/items/{name}", "takes no body", "query"}},
		{"where Accept asks for something else", "POST", "/v1/items", "{}", header("Accept", "text/html"), 406, []string{"text/event-stream", "text/html"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var options []option
			if test.option != nil {
				options = append(options, test.option)
			}
			w.do(test.verb, test.path, test.body, options...).problem(t, test.status, test.says...)
		})
	}
	t.Run("bounded by the config", func(t *testing.T) {
		file := descriptors(t, watch("Watch", `[google.api.http] { post: "/v1/items" body: "*" }`))
		w := start(t, upstreams(serve(t, newDynamic(t, file).server()))+"limits: {request_bytes: 100}\n")
		w.do("POST", "/v1/items", `{"name":"`+strings.Repeat("x", 100)+`"}`).problem(t, 413, "larger than 100 bytes")
		w.post("/v1/items", `{"name":"`+strings.Repeat("x", 80)+`"}`).expect("test.v1.Event")
	})
}

// What a form or a browser's cache buster adds is no reason to refuse.
func TestIgnoredQueryKeys(t *testing.T) {
	w := items(t)
	q := url.Values{"_": {"1700000000"}, "_ts": {"1"}, "level": {"1"}, "max_count": {"3"}, "filter.exact": {"true"}}
	w.get("/v1/items/a?"+q.Encode()).expect("test.v1.Event",
		`"request":{"name":"a","level":"HIGH","maxCount":3,"filter":{"exact":true}}`)
}
