package schema_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestTemplates(t *testing.T) {
	for path, want := range map[string]struct {
		variables []string
		segments  map[string]int
	}{
		"/":                                   {},
		"/v1/prices":                          {},
		"/v1/prices:watch":                    {},
		"/v1/a:b:watch":                       {},
		"/v1:x/a":                             {},
		"/v1/*/x":                             {},
		"/v1/**":                              {},
		"/v1/**:watch":                        {},
		"/v1/{symbol}":                        {[]string{"symbol"}, map[string]int{"symbol": 1}},
		"/v1/{symbol=*}":                      {[]string{"symbol"}, map[string]int{"symbol": 1}},
		"/v1/{symbol=fixed}":                  {[]string{"symbol"}, map[string]int{"symbol": 1}},
		"/v1/{symbol=shelves/*}":              {[]string{"symbol"}, map[string]int{"symbol": 2}},
		"/v1/{symbol=shelves/*/books/*}:read": {[]string{"symbol"}, map[string]int{"symbol": 4}},
		"/v1/{symbol=**}":                     {[]string{"symbol"}, map[string]int{"symbol": 0}},
		"/v1/{symbol=a/**}:x:y":               {[]string{"symbol"}, map[string]int{"symbol": 0}},
		"/{symbol}/x/{filter.name}:go":        {[]string{"symbol", "filter.name"}, map[string]int{"symbol": 1, "filter.name": 1}},
		"/{level}/{since}/{by_id}":            {[]string{"level", "since", "by_id"}, map[string]int{"level": 1, "since": 1, "by_id": 1}},
		"/v1/a;b,c=d(e)'!$&+@~._-":            {},
	} {
		tab, err := schema.NewTable([]*schema.Schema{prices(t, watch("Watch", get(path)))}, schema.Options{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		b := tab.Lookup("acme.v1.Prices.Watch").Bindings[0]
		if b.Template != path || b.Verb != http.MethodGet || b.RPC {
			t.Errorf("%s: binding %+v", path, b)
		}
		if diff := cmp.Diff(want.variables, b.Variables); diff != "" {
			t.Errorf("%s: variables (-want +got):\n%s", path, diff)
		}
		if len(want.segments) == 0 {
			want.segments = map[string]int{}
		}
		if diff := cmp.Diff(want.segments, b.Segments); diff != "" {
			t.Errorf("%s: segments (-want +got):\n%s", path, diff)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	for path, want := range map[string]string{
		"":                           `a path begins with "/"`,
		"v1/x":                       `a path begins with "/"`,
		"//":                         "a segment is empty",
		"/v1/":                       "a segment is empty",
		"/v1//x":                     "a segment is empty",
		"/:x":                        "a segment is empty",
		"/v1:":                       "the verb after the colon",
		"/v1/{symbol}:":              "the verb after the colon",
		"/v1/{symbol":                `a "{" has no "}"`,
		"/v1/symbol}":                "cannot stand in a path",
		"/v1/a{symbol}":              "cannot stand in a path",
		"/v1/{symbol}a":              `a "}" is followed by`,
		"/v1/{symbol}{level}":        `a "}" is followed by`,
		"/v1/{}":                     `"" is not the name of a field`,
		"/v1/{1a}":                   `"1a" is not the name of a field`,
		"/v1/{filter..name}":         `"filter..name" is not the name of a field`,
		"/v1/{symbol=}":              "a segment is empty",
		"/v1/{symbol=a/**/b}":        `"**" can only be the last segment`,
		"/v1/**/b":                   `"**" can only be the last segment`,
		"/v1/{symbol=**}/b":          `"**" can only be the last segment`,
		"/v1/{symbol=**}/{level=**}": `"**" can only be the last segment`,
		"/v1/{symbol={level}}":       "cannot stand in a path",
		"/v1/{symbol}/{symbol}":      `variable "symbol" is there twice`,
		"/v1/***":                    `"*" stands for a whole segment`,
		"/v1/a*":                     `"*" stands for a whole segment`,
		"/v1/a%20b":                  "percent-encoded",
		"/v1/a b":                    "cannot stand in a path",
		"/v1/ä":                      "cannot stand in a path",
		"/v1/x?y=1":                  "cannot stand in a path",
		"/v1/../x":                   "clients resolve it",
		"/v1/{nope}":                 `no field "nope"; it has symbol, filter`,
		"/v1/{filter.nope}":          `acme.v1.Filter has no field "nope"`,
		"/v1/{filter}":               "a message (acme.v1.Filter) cannot be in a path",
		"/v1/{tags}":                 "a repeated field cannot be in a path",
		"/v1/{filter.tags}":          "a repeated field cannot be in a path",
		"/v1/{symbol.x}":             `field "symbol" of acme.v1.Request has no fields`,
		"/v1/{tags.x}":               `field "tags" of acme.v1.Request has no fields`,
		"/v1/{by}":                   `no field "by"`,
		"/v1/{by_id}/{by_name}":      `"by_id" and "by_name" are cases of one oneof`,
		"/sse.cancel":                "paths under /sse. are the bridge's own",
	} {
		t.Run(path, func(t *testing.T) {
			_, err := schema.NewTable([]*schema.Schema{prices(t, watch("Watch", get(path)))}, schema.Options{})
			wantError(t, err, "acme/prices.proto: method acme.v1.Prices.Watch: (google.api.http): GET ", want)
		})
	}
}

// FuzzTemplate holds the parser against the router's: what ours accepts, the router takes, with the same variables.
func FuzzTemplate(f *testing.F) {
	for _, path := range []string{
		"/", "/v1/{symbol=shelves/*}:read", "/v1/{filter.name}/a:b:c", "/v1/{symbol=a/**}:x:y", "/v1/**/b", "/v1:/x", "/{symbol=a:b}", "/a:b/{level}", "/{symbol}:a:b",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		text := strings.ToValidUTF8(path, "")
		if text != path || strings.ContainsAny(path, "\"\\\n\r\x00") {
			return // prototext would need escapes, and protobuf strings are UTF-8
		}
		tab, err := schema.NewTable([]*schema.Schema{prices(t, watch("Watch", get(path)))}, schema.Options{})
		if err != nil {
			return
		}
		b := tab.Lookup("acme.v1.Prices.Watch").Bindings[0]
		var params map[string]string
		mux := newMux()
		err = mux.HandlePath(b.Verb, b.Template, func(_ http.ResponseWriter, _ *http.Request, p map[string]string) { params = p })
		if err != nil {
			t.Fatalf("%s: ours, not the router's: %v", path, err)
		}
		// A path made from the template must arrive, with every variable.
		sample := sampleOf(b)
		mux.ServeHTTP(nil, &http.Request{Method: b.Verb, URL: urlOf(sample)})
		if params == nil {
			t.Fatalf("%s does not match %s", path, sample)
		}
		if len(params) != len(b.Variables) {
			t.Fatalf("%s: the router has %v, we have %v", path, params, b.Variables)
		}
		for name, value := range params {
			if n, ok := b.Segments[name]; !ok || n > 0 && strings.Count(value, "/") != n-1 {
				t.Errorf("%s: variable %s = %q, want %d segments", path, name, value, n)
			}
		}
	})
}
