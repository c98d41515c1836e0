package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// streamOption is the text of an empty (grpcsse.v1.stream).
const streamOption = `[grpcsse.v1.stream] {}`

func names(tab *schema.Table) []string {
	var got []string
	for _, m := range tab.Methods() {
		got = append(got, string(m.Name.Name()))
	}
	return got
}

func TestExposure(t *testing.T) {
	s := prices(t,
		watch("ByHTTP", get("/v1/http")), watch("ByOption", streamOption), watch("Plain", ""),
		unary("Unary", ""), unary("UnaryHTTP", get("/v1/unary")),
	)
	other := load(t, "other", file("other.proto", "acme.v1.other", strings.ReplaceAll(messages, "acme.v1", "acme.v1.other")+
		`service { name: "Prices" `+strings.ReplaceAll(watch("Plain", ""), "acme.v1", "acme.v1.other")+`}`))
	for name, tt := range map[string]struct {
		options schema.Options
		want    []string
		leftOut []string
	}{
		"nothing said": {want: []string{"ByHTTP", "ByOption", "UnaryHTTP"}, leftOut: []string{"Plain", "Unary", "Plain"}},
		"slash":        {schema.Options{Expose: []string{"acme.v1.Prices/Plain"}}, []string{"ByHTTP", "ByOption", "Plain", "UnaryHTTP"}, []string{"Unary", "Plain"}},
		"dot":          {schema.Options{Expose: []string{"acme.v1.Prices.Plain"}}, []string{"ByHTTP", "ByOption", "Plain", "UnaryHTTP"}, []string{"Unary", "Plain"}},
		"service":      {schema.Options{Expose: []string{"acme.v1.Prices/*"}}, []string{"ByHTTP", "ByOption", "Plain", "Unary", "UnaryHTTP"}, []string{"Plain"}},
		"all":          {schema.Options{Expose: []string{"*"}}, []string{"ByHTTP", "ByOption", "Plain", "Unary", "UnaryHTTP", "Plain"}, nil},
		"rule":         {schema.Options{Rules: rules(t, `selector: "acme.v1.Prices/Plain"`)}, []string{"ByHTTP", "ByOption", "Plain", "UnaryHTTP"}, []string{"Unary", "Plain"}},
	} {
		t.Run(name, func(t *testing.T) {
			tab := table(t, tt.options, s, other)
			if diff := cmp.Diff(tt.want, names(tab)); diff != "" {
				t.Errorf("methods (-want +got):\n%s", diff)
			}
			var leftOut []string
			for _, l := range tab.LeftOut() {
				leftOut = append(leftOut, string(l.Method.Name()))
				// The flag does what it promises.
				flag, pattern, _ := strings.Cut(l.Flag, " ")
				again := tt.options
				again.Expose = append(slices.Clone(again.Expose), pattern)
				if flag != "--expose" || table(t, again, s, other).Lookup(l.Method) == nil {
					t.Errorf("%q does not expose %s", l.Flag, l.Method)
				}
			}
			if diff := cmp.Diff(tt.leftOut, leftOut); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMethod(t *testing.T) {
	s := prices(t, watch("Watch", `idempotency_level: IDEMPOTENT `+get("/v1/{symbol}")))
	m := table(t, schema.Options{}, s).Lookup("acme.v1.Prices.Watch")
	if m.Path != "/acme.v1.Prices/Watch" || m.Upstream != "prices" || !m.ServerStreaming || m.ClientStreaming || !m.Idempotent ||
		m.Input.FullName() != "acme.v1.Request" || m.Output.FullName() != "acme.v1.Event" || m.Types != s.Types {
		t.Errorf("%+v", m)
	}
	if got := table(t, schema.Options{}, s).Lookup("acme.v1.Prices.Nope"); got != nil {
		t.Errorf("Lookup of an unknown method: %v", got)
	}
}

// binding is what a test compares of a schema.Binding.
type binding struct {
	Verb, Template, Body, BodyField, ResponseField string
	RPC                                            bool
}

func bindingsOf(m *schema.Method) []binding {
	name := func(fd protoreflect.FieldDescriptor) string {
		if fd == nil {
			return ""
		}
		return string(fd.Name())
	}
	var got []binding
	for _, b := range m.Bindings {
		got = append(got, binding{b.Verb, b.Template, b.Body, name(b.BodyField), name(b.ResponseField), b.RPC})
	}
	return got
}

func TestBindings(t *testing.T) {
	const path = "/acme.v1.Prices/Watch"
	rpcPost := binding{Verb: "POST", Template: path, Body: "*", RPC: true}
	rpcGet := binding{Verb: "GET", Template: path, RPC: true}
	for name, tt := range map[string]struct {
		method string
		want   []binding
	}{
		"streaming without rule":     {watch("Watch", streamOption), []binding{rpcPost, rpcGet}},
		"get":                        {watch("Watch", get("/a")), []binding{{Verb: "GET", Template: "/a"}, rpcPost, rpcGet}},
		"post alone":                 {watch("Watch", `[google.api.http] { post: "/a" body: "*" }`), []binding{{Verb: "POST", Template: "/a", Body: "*"}, rpcPost}},
		"post without side effects":  {watch("Watch", `idempotency_level: NO_SIDE_EFFECTS [google.api.http] { post: "/a" body: "*" }`), []binding{{Verb: "POST", Template: "/a", Body: "*"}, rpcPost, rpcGet}},
		"post that is idempotent":    {watch("Watch", `idempotency_level: IDEMPOTENT [google.api.http] { post: "/a" }`), []binding{{Verb: "POST", Template: "/a"}, rpcPost}},
		"unary get":                  {unary("Watch", get("/a")), []binding{{Verb: "GET", Template: "/a"}, rpcPost, rpcGet}},
		"unary put":                  {unary("Watch", `[google.api.http] { put: "/a" body: "filter" }`), []binding{{Verb: "PUT", Template: "/a", Body: "filter", BodyField: "filter"}, rpcPost}},
		"rule that is the RPC path":  {watch("Watch", `[google.api.http] { post: "`+path+`" body: "*" }`), []binding{{Verb: "POST", Template: path, Body: "*"}}},
		"response_body":              {watch("Watch", `[google.api.http] { get: "/a" response_body: "quote" }`), []binding{{Verb: "GET", Template: "/a", ResponseField: "quote"}, rpcPost, rpcGet}},
		"body beside a variable":     {watch("Watch", `[google.api.http] { patch: "/a/{filter.name}" body: "filter" }`), []binding{{Verb: "PATCH", Template: "/a/{filter.name}", Body: "filter", BodyField: "filter"}, rpcPost}},
		"custom":                     {watch("Watch", `[google.api.http] { custom { kind: "QUERY" path: "/a" } }`), []binding{{Verb: "QUERY", Template: "/a"}, rpcPost}},
		"HEAD":                       {watch("Watch", `[google.api.http] { custom { kind: "HEAD" path: "/a" } additional_bindings { post: "/b" } }`), []binding{{Verb: "POST", Template: "/b"}, rpcPost}},
		"every verb, with a body":    {watch("Watch", `[google.api.http] { custom { kind: "*" path: "/a" } body: "*" }`), []binding{{Verb: "PUT", Template: "/a", Body: "*"}, {Verb: "POST", Template: "/a", Body: "*"}, {Verb: "DELETE", Template: "/a", Body: "*"}, {Verb: "PATCH", Template: "/a", Body: "*"}, rpcPost}},
		"every verb, without a body": {watch("Watch", `[google.api.http] { custom { kind: "*" path: "/a" } }`), []binding{{Verb: "GET", Template: "/a"}, {Verb: "PUT", Template: "/a"}, {Verb: "POST", Template: "/a"}, {Verb: "DELETE", Template: "/a"}, {Verb: "PATCH", Template: "/a"}, rpcPost, rpcGet}},
		"additional": {
			watch("Watch", `[google.api.http] { post: "/a" body: "*" additional_bindings { get: "/b/{symbol}" } additional_bindings { delete: "/c" } }`),
			[]binding{{Verb: "POST", Template: "/a", Body: "*"}, {Verb: "GET", Template: "/b/{symbol}"}, {Verb: "DELETE", Template: "/c"}, rpcPost, rpcGet},
		},
		"bidi": {
			strings.Replace(watch("Watch", get("/a")), "server_streaming", "client_streaming: true server_streaming", 1),
			[]binding{{Verb: "GET", Template: "/a"}, rpcPost, rpcGet},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := table(t, schema.Options{}, prices(t, tt.method)).Lookup("acme.v1.Prices.Watch")
			if diff := cmp.Diff(tt.want, bindingsOf(m)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnaryByExposeIsPostOnly(t *testing.T) {
	m := table(t, schema.Options{Expose: []string{"*"}}, prices(t, unary("Delete", ""))).Methods()[0]
	want := []binding{{Verb: "POST", Template: "/acme.v1.Prices/Delete", Body: "*", RPC: true}}
	if diff := cmp.Diff(want, bindingsOf(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARuleReplacesTheMethodsPaths(t *testing.T) {
	s := prices(t, watch("Watch", `[google.api.http] { get: "/old" additional_bindings { get: "/older" } }`))
	m := table(t, schema.Options{Rules: rules(t, `selector: "acme.v1.Prices/Watch" http { post: "/new" body: "*" }`)}, s).Methods()[0]
	if diff := cmp.Diff([]string{"/new", "/acme.v1.Prices/Watch"}, []string{m.Bindings[0].Template, m.Bindings[1].Template}); diff != "" || len(m.Bindings) != 2 {
		t.Errorf("%v", bindingsOf(m))
	}
}

func TestTableErrors(t *testing.T) {
	const at = "acme/prices.proto: method acme.v1.Prices.Watch: "
	for name, tt := range map[string]struct {
		methods string
		options schema.Options
		want    []string
	}{
		"no path":                 {watch("Watch", `[google.api.http] { body: "*" }`), schema.Options{}, []string{at + "(google.api.http): the HTTP rule has no path"}},
		"body of a get":           {watch("Watch", `[google.api.http] { get: "/a" body: "*" }`), schema.Options{}, []string{at, "a GET has no body"}},
		"unknown body":            {watch("Watch", `[google.api.http] { post: "/a" body: "nope" }`), schema.Options{}, []string{at, `body: the request message acme.v1.Request has no field "nope"; it has symbol`}},
		"body in the path":        {watch("Watch", `[google.api.http] { post: "/a/{symbol}" body: "symbol" }`), schema.Options{}, []string{at, `field "symbol" is in the path already`}},
		"unknown response_body":   {watch("Watch", `[google.api.http] { get: "/a" response_body: "nope" }`), schema.Options{}, []string{at, `the response message acme.v1.Event has no field "nope"`}},
		"custom kind":             {watch("Watch", `[google.api.http] { custom { kind: "get" path: "/a" } }`), schema.Options{}, []string{at, `the custom kind "get" is no HTTP method`}},
		"nested bindings":         {watch("Watch", `[google.api.http] { get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } } }`), schema.Options{}, []string{at + "(google.api.http): additional_bindings[0]: cannot have additional_bindings"}},
		"broken additional":       {watch("Watch", `[google.api.http] { get: "/a" additional_bindings { get: "b" } }`), schema.Options{}, []string{at + `(google.api.http): additional_bindings[0]: GET "b"`}},
		"one path twice":          {watch("Watch", `[google.api.http] { get: "/{symbol}" additional_bindings { get: "/{by_name}" } }`), schema.Options{}, []string{"GET /{symbol}", "GET /{by_name}", "additional_bindings[0]"}},
		"another's RPC path":      {watch("Watch", streamOption) + watch("Other", get("/acme.v1.Prices/Watch")), schema.Options{}, []string{at + "its RPC path", "method acme.v1.Prices.Other: (google.api.http)"}},
		"expose: no pattern":      {watch("Watch", ""), schema.Options{Expose: []string{"acme.v1.Prices.*", "/acme.v1.Prices/Watch", "Watch", "", "*/Watch"}}, []string{`expose: "acme.v1.Prices.*" is not`, `"/acme.v1.Prices/Watch" is not`, `"Watch" is not`, `"" is not`, `"*/Watch" is not`, "write pkg.Service/Method"}},
		"expose: unknown method":  {watch("Watch", ""), schema.Options{Expose: []string{"acme.v1.Prices/Wach"}}, []string{`expose "acme.v1.Prices/Wach" matches no method: service acme.v1.Prices has no such method; it has Watch`}},
		"expose: unknown service": {watch("Watch", ""), schema.Options{Expose: []string{"acme.v1.Price/*"}}, []string{`expose "acme.v1.Price/*" matches no method: no upstream has the service acme.v1.Price; there are acme.v1.Prices`}},
		"rule: unknown method":    {watch("Watch", ""), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices.Wach"`)}, []string{"rules[0] (acme.v1.Prices.Wach) matches no method: service acme.v1.Prices has"}},
		"rule: wildcard":          {watch("Watch", ""), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices/*"`)}, []string{"rules[0] (acme.v1.Prices/*): selector: a rule is for one method"}},
		"rule: no selector":       {watch("Watch", ""), schema.Options{Rules: []*configv1.Rule{{}, nil}}, []string{`rules[0] (): selector: "" is not`, `rules[1] ()`}},
		"rule: twice":             {watch("Watch", ""), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices.Watch"`, `selector: "acme.v1.Prices/Watch"`)}, []string{"rules[1] (acme.v1.Prices/Watch): rules[0] (acme.v1.Prices.Watch) is for the same method"}},
		"rule: two selectors":     {watch("Watch", ""), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices.Watch" http { selector: "x" get: "/a" }`)}, []string{"rules[0] (acme.v1.Prices.Watch): http.selector must be empty"}},
		"rule: template":          {watch("Watch", get("/fine")), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices.Watch" http { get: "/{nope}" }`)}, []string{`rules[0] (acme.v1.Prices.Watch): http: GET "/{nope}": variable "nope"`}},
		"several at once":         {watch("Watch", get("x")) + watch("Other", get("y")), schema.Options{Expose: []string{"z"}}, []string{`GET "x"`, `GET "y"`, `"z" is not`}},
		"stream of a unary":       {unary("Watch", streamOption), schema.Options{}, []string{at + "option (grpcsse.v1.stream) is only for server-streaming methods"}},
		"stream of a bidi":        {strings.Replace(watch("Watch", streamOption), "server_streaming", "client_streaming: true server_streaming", 1), schema.Options{}, []string{at + "option (grpcsse.v1.stream) is only for"}},
		"rule's stream of unary":  {unary("Watch", ""), schema.Options{Rules: rules(t, `selector: "acme.v1.Prices.Watch" stream {}`)}, []string{"rules[0] (acme.v1.Prices.Watch): stream is only for server-streaming methods"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := schema.NewTable([]*schema.Schema{prices(t, tt.methods)}, tt.options)
			wantError(t, err, tt.want...)
		})
	}
}

func TestOneMethodOfTwoUpstreams(t *testing.T) {
	one := prices(t, watch("Watch", get("/a")))
	text := file("acme/prices.proto", "acme.v1", messages+`service { name: "Prices" `+watch("Watch", get("/a"))+`}`)
	_, err := schema.NewTable([]*schema.Schema{one, load(t, "second", text)}, schema.Options{})
	wantError(t, err, "method acme.v1.Prices.Watch", `upstreams "prices" and "second" both offer it`)
	if strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("one cause, several errors:\n%v", err)
	}
}

func TestPartial(t *testing.T) {
	o := schema.Options{Expose: []string{"late.v1.S/*", "*"}, Rules: rules(t, `selector: "late.v1.S.M"`), Partial: true}
	tab := table(t, o, prices(t, unary("Get", "")))
	if w := tab.Warnings(); len(w) != 2 || !strings.Contains(w[0], `expose "late.v1.S/*" matches no method of the upstreams read so far`) || !strings.Contains(w[1], "rules[0] (late.v1.S.M)") {
		t.Errorf("warnings %q", w)
	}
	table(t, schema.Options{Expose: []string{"*"}, Partial: true})

	o.Expose = []string{"not a pattern"}
	_, err := schema.NewTable(nil, o)
	wantError(t, err, `"not a pattern" is not`)
	_, err = schema.NewTable(nil, schema.Options{Expose: []string{"*", "a.B/C"}})
	wantError(t, err, `expose "*" matches no method: no upstream has a service`, "no upstream has the service a.B, nor any other")
}

func TestWarnings(t *testing.T) {
	bidi := strings.Replace(watch("Talk", get("/talk")), "server_streaming", "client_streaming: true server_streaming", 1)
	tab := table(t, schema.Options{}, prices(t, bidi, watch("Watch", `[google.api.http] { custom { kind: "HEAD" path: "/w" } }`)),
		load(t, "sse", strings.ReplaceAll(file("s.proto", "acme.v1", messages+`service { name: "S" `+watch("W", streamOption)+`}`), "acme.v1", "sse.x")))
	all := strings.Join(tab.Warnings(), "\n")
	for _, want := range []string{
		"method acme.v1.Prices.Talk: requests are answered 501",
		"method acme.v1.Prices.Watch: (google.api.http): HEAD /w is not served",
		"method sse.x.S.W: its RPC path /sse.x.S/W is not served",
		`method acme.v1.Prices.Watch: the event type "error" is sent as "app.error"`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
}

// Another option may have the number of ours in somebody's company.
func TestForeignOptionOfTheSameNumber(t *testing.T) {
	text := `name: "a.proto" package: "a" syntax: "proto2" dependency: "google/protobuf/descriptor.proto"
		message_type { name: "M" }
		extension { name: "audit" number: 57735 type: TYPE_STRING label: LABEL_OPTIONAL extendee: ".google.protobuf.MethodOptions" }
		service { name: "S" method { name: "W" input_type: ".a.M" output_type: ".a.M" server_streaming: true options { [grpcsse.v1.stream] {} } } }`
	tab := table(t, schema.Options{}, load(t, "x", text))
	if len(tab.Methods()) != 0 {
		t.Error("a foreign option exposed a method")
	}
	if w := tab.Warnings(); len(w) != 1 || !strings.Contains(w[0], "a.proto: method a.S.W: option (a.audit) is ignored: its number 57735") {
		t.Errorf("warnings %q", w)
	}
}

func TestTableIsImmutable(t *testing.T) {
	tab := table(t, schema.Options{}, prices(t, watch("A", get("/a")), watch("B", get("/b")), watch("C", "")))
	clear(tab.Methods())
	clear(tab.Routes())
	clear(tab.LeftOut())
	clear(tab.Warnings())
	if tab.Methods()[0] == nil || tab.Routes()[0].Method == nil || tab.LeftOut()[0].Method == "" || tab.Warnings()[0] == "" {
		t.Error("a caller changed the table")
	}
}
