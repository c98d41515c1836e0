package schema_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

var (
	braces = regexp.MustCompile(`\{[a-z_.]+(?:=([^}]*))?\}`)
	stars  = regexp.MustCompile(`\*+`)
)

// sampleOf is a path that a binding matches.
func sampleOf(b *schema.Binding) string {
	path := braces.ReplaceAllStringFunc(b.Template, func(v string) string {
		if _, pattern, ok := strings.Cut(strings.Trim(v, "{}"), "="); ok {
			return pattern
		}
		return "*"
	})
	return stars.ReplaceAllString(path, "s")
}

func urlOf(path string) *url.URL { return &url.URL{Path: path} }

// newMux is a router that writes nothing where there is no route.
func newMux() *runtime.ServeMux {
	return runtime.NewServeMux(
		runtime.WithDisablePathLengthFallback(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithRoutingErrorHandler(func(context.Context, *runtime.ServeMux, runtime.Marshaler, http.ResponseWriter, *http.Request, int) {}),
	)
}

// router registers a table's GET routes in their order on the router that serves them. The result gives the name of
// the method that gets a path, and what it gets; "" for none.
func router(t interface{ Fatal(...any) }, routes []schema.Route) func(path string) (string, map[string]string) {
	mux := newMux()
	var name string
	var params map[string]string
	for _, r := range routes {
		err := mux.HandlePath(r.Binding.Verb, r.Binding.Template, func(_ http.ResponseWriter, _ *http.Request, p map[string]string) {
			name, params = string(r.Method.Name.Name()), p
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return func(path string) (string, map[string]string) {
		name, params = "", nil
		mux.ServeHTTP(nil, &http.Request{Method: http.MethodGet, URL: urlOf(path)})
		return name, params
	}
}

// TestRoutesOnTheRouter declares overlapping templates in several orders. The most specific must win in all of them.
func TestRoutesOnTheRouter(t *testing.T) {
	methods := map[string]string{
		"Root":   "/",
		"All":    "/{symbol=**}",
		"Deep":   "/v1/{symbol=**}",
		"Short":  "/v1",
		"Star":   "/v1/{symbol}",
		"Count":  "/v1/{symbol=*}:count",
		"Counts": "/v1/{symbol}:all:count",
		"Lit":    "/v1/prices",
		"LitC":   "/v1/prices:count",
		"Sub":    "/v1/{symbol}/{filter.name}",
		"SubLit": "/v1/{symbol}/events",
		"LitSub": "/v1/prices/{symbol}",
		"Multi":  "/v1/{symbol=shelves/*}",
		"Tail":   "/v1/{symbol=shelves/**}:tail",
	}
	want := map[string]string{
		"/":                    "Root",
		"/x":                   "All",
		"/x/y":                 "All",
		"/v1":                  "Short",
		"/v1/a":                "Star",
		"/v1/a:nope":           "Star",
		"/v1/a:count":          "Count",
		"/v1/a:b:count":        "Count",
		"/v1/a:all:count":      "Counts",
		"/v1/prices":           "Lit",
		"/v1/prices:count":     "LitC",
		"/v1/prices/a":         "LitSub",
		"/v1/prices/events":    "LitSub", // literals to the left count first
		"/v1/a/b":              "Sub",
		"/v1/a/events":         "SubLit",
		"/v1/a/b/c":            "Deep",
		"/v1/shelves/1":        "Multi",
		"/v1/shelves/1:tail":   "Multi", // "*" before "**", whatever the verb
		"/v1/shelves/1/2:tail": "Tail",
		"/v1/shelves:tail":     "Tail",
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range methods {
			if !yield(name) {
				return
			}
		}
	})
	for round := range 8 {
		var texts []string
		for _, name := range names {
			texts = append(texts, watch(name, get(methods[name])))
		}
		find := router(t, table(t, schema.Options{}, prices(t, texts...)).Routes())
		for path, name := range want {
			if got, params := find(path); got != name {
				t.Errorf("round %d: %s goes to %q %v, want %q", round, path, got, params, name)
			}
		}
		if round == 0 {
			slices.Reverse(names)
		} else {
			rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		}
	}
}

func TestRoutesGiveVariables(t *testing.T) {
	find := router(t, table(t, schema.Options{}, prices(t,
		watch("A", get("/v1/{symbol}:count")), watch("B", get("/v1/{symbol=shelves/*}/{filter.name}")), watch("C", get("/v2/{symbol=**}")),
	)).Routes())
	for path, want := range map[string]map[string]string{
		"/v1/a:b:count":   {"symbol": "a:b"},
		"/v1/shelves/1/x": {"symbol": "shelves/1", "filter.name": "x"},
		"/v2/a/b/c":       {"symbol": "a/b/c"},
		"/v2":             {"symbol": ""},
	} {
		if _, got := find(path); !cmp.Equal(want, got) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestEqualTemplates(t *testing.T) {
	for _, tt := range [][2]string{
		{"/v1/x", "/v1/x"},
		{"/v1/{symbol}", "/v1/{filter.name}"},
		{"/v1/{symbol}", "/v1/*"},
		{"/v1/{symbol=a/*}", "/v1/a/{symbol}"},
		{"/v1/{symbol=a/*}", "/{filter.name=v1/a}/{symbol}"},
		{"/v1/{symbol=**}", "/v1/**"},
		{"/v1/{symbol}:go", "/v1/{filter.name=*}:go"},
		{"/v1/a:go", "/v1/{symbol=a:go}"},
		{"/v1/a:b:c", "/v1/{symbol=a}:b:c"},
	} {
		for _, pair := range [][2]string{tt, {tt[1], tt[0]}} {
			_, err := schema.NewTable([]*schema.Schema{prices(t, watch("A", get(pair[0])), watch("B", get(pair[1])))}, schema.Options{})
			wantError(t, err, "method acme.v1.Prices.A", "method acme.v1.Prices.B", "GET "+pair[0], "GET "+pair[1], "match the same paths")

			one := prices(t, watch("A", get(pair[0])))
			two := load(t, "other", file("other.proto", "acme.v1", messages+`service { name: "Other" `+watch("B", get(pair[1]))+`}`))
			_, err = schema.NewTable([]*schema.Schema{one, two}, schema.Options{})
			wantError(t, err, "method acme.v1.Prices.A", "method acme.v1.Other.B", "match the same paths")
		}
	}
}

func TestTemplatesThatDiffer(t *testing.T) {
	for _, tt := range [][2]string{
		{get("/v1/{symbol}"), get("/v1/{symbol}:go")},
		{get("/v1/{symbol=*}"), get("/v1/{symbol=**}")},
		{get("/v1/**"), get("/v1")},
		{get("/v1/x"), get("/v1/X")},
		{get("/v1/x"), `[google.api.http] { post: "/v1/x" }`},
	} {
		for _, pair := range [][2]string{tt, {tt[1], tt[0]}} {
			if _, err := schema.NewTable([]*schema.Schema{prices(t, watch("A", pair[0]), watch("B", pair[1]))}, schema.Options{}); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestNoRouteHidesAnother tries random sets of templates. On every path of a small universe, the method that gets it
// must be one that matches it, and no template that matches fewer paths may have been passed over. Templates are
// refused as equal exactly when they match the same paths.
func TestNoRouteHidesAnother(t *testing.T) {
	universe := paths()
	segment := rapid.SampledFrom([]string{"a", "*", "a:v"})
	rapid.Check(t, func(rt *rapid.T) {
		var texts, templates []string
		for i := range rapid.IntRange(2, 5).Draw(rt, "n") {
			segments := rapid.SliceOfN(segment, 1, 2).Draw(rt, "segments")
			if rapid.Bool().Draw(rt, "deep") {
				segments = append(segments, "**")
			}
			path := "/{symbol=" + strings.Join(segments, "/") + "}" + rapid.SampledFrom([]string{"", "", ":v", ":w:v"}).Draw(rt, "verb")
			templates = append(templates, path)
			texts = append(texts, watch(fmt.Sprintf("M%d", i), get(path)))
		}
		sets := make(map[string]map[string]bool)
		equal := false
		for i, path := range templates {
			set := matched(rt, path, universe)
			for _, other := range sets {
				equal = equal || cmp.Equal(set, other)
			}
			sets[fmt.Sprintf("M%d", i)] = set
		}
		tab, err := schema.NewTable([]*schema.Schema{prices(t, texts...)}, schema.Options{})
		if (err != nil) != equal {
			rt.Fatalf("%v: equal %v, error %v", templates, equal, err)
		}
		if err != nil {
			return
		}
		find := router(rt, tab.Routes())
		for _, path := range universe {
			got, _ := find(path)
			for name, set := range sets {
				if set[path] && (!sets[got][path] || len(set) < len(sets[got]) && within(set, sets[got])) {
					rt.Fatalf("%v: %s goes to %q, not to %q", templates, path, got, name)
				}
			}
		}
	})
}

// paths are all paths of up to three segments over a small alphabet, in which the last segment has all kinds of verbs.
func paths() []string {
	var last []string
	for _, x := range []string{"/a", "/c"} {
		for _, verb := range []string{"", ":v", ":w:v", ":v:v", ":v:w:v"} {
			last = append(last, x+verb)
		}
	}
	all := slices.Clone(last)
	for _, z := range last {
		for _, x := range []string{"/a", "/c", "/a:v"} {
			all = append(all, x+z)
			for _, y := range []string{"/a", "/c", "/a:v"} {
				all = append(all, x+y+z)
			}
		}
	}
	return all
}

// matched is what the router matches to one template alone.
func matched(t *rapid.T, path string, universe []string) map[string]bool {
	mux := newMux()
	hit := false
	if err := mux.HandlePath(http.MethodGet, path, func(http.ResponseWriter, *http.Request, map[string]string) { hit = true }); err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	for _, p := range universe {
		hit = false
		mux.ServeHTTP(nil, &http.Request{Method: http.MethodGet, URL: urlOf(p)})
		if hit {
			set[p] = true
		}
	}
	return set
}

func within(small, large map[string]bool) bool {
	for path := range small {
		if !large[path] {
			return false
		}
	}
	return true
}
