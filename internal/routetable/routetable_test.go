package routetable_test

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
	"github.com/grpc-sse/grpc-sse/internal/routetable"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// method is a method of the test's service.
type method struct {
	name           string
	input, output  string // Request and Response unless set
	client, server bool
	http           *annotations.HttpRule
	stream         *grpcssev1.Stream
}

const (
	str  = descriptorpb.FieldDescriptorProto_TYPE_STRING
	num  = descriptorpb.FieldDescriptorProto_TYPE_INT64
	yes  = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	enum = descriptorpb.FieldDescriptorProto_TYPE_ENUM
	raw  = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	msg  = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, typeName string) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if typeName != "" {
		f.TypeName = new("." + typeName)
	}
	return f
}

func inOneof(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.OneofIndex = new(int32(0))
	return f
}

func repeated(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}

// testSchema is a backend with these methods in pkg.Service.
func testSchema(t *testing.T, upstream, pkg string, methods ...method) *schema.Schema {
	t.Helper()
	service := &descriptorpb.ServiceDescriptorProto{Name: new("Service")}
	for _, m := range methods {
		options := &descriptorpb.MethodOptions{}
		if m.http != nil {
			proto.SetExtension(options, annotations.E_Http, m.http)
		}
		if m.stream != nil {
			proto.SetExtension(options, grpcssev1.E_Stream, m.stream)
		}
		orElse := func(name, other string) *string {
			if name == "" {
				name = other
			}
			return new("." + pkg + "." + name)
		}
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: &m.name, InputType: orElse(m.input, "Request"), OutputType: orElse(m.output, "Response"),
			ClientStreaming: &m.client, ServerStreaming: &m.server, Options: options,
		})
	}
	many := &descriptorpb.DescriptorProto{Name: new("Many"), OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("event")}}}
	for i, name := range strings.Fields(strings.Repeat("a_case_with_a_long_name_ another_case_ ", 6)) {
		many.Field = append(many.Field, inOneof(field(name+string(rune('a'+i)), int32(i+1), str, "")))
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: new(pkg + ".proto"), Package: &pkg, Syntax: new("proto3"),
		Dependency: []string{
			"google/protobuf/timestamp.proto", "google/protobuf/duration.proto", "google/protobuf/wrappers.proto",
		},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: new("Side"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: new("SIDE_UNSPECIFIED"), Number: new(int32(0))}, {Name: new("SIDE_BUY"), Number: new(int32(1))},
		}}},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("Request"), Field: []*descriptorpb.FieldDescriptorProto{
				field("name", 1, str, ""), field("number", 2, num, ""), field("inner", 3, msg, pkg+".Request"), field("side", 4, enum, pkg+".Side"),
				field("flag", 5, yes, ""), field("data", 6, raw, ""), field("since", 7, msg, "google.protobuf.Timestamp"),
				field("window", 8, msg, "google.protobuf.Duration"), field("limit", 9, msg, "google.protobuf.Int32Value"),
				field("label", 10, msg, "google.protobuf.StringValue"), repeated(field("tags", 11, str, "")), field("on", 12, msg, "google.protobuf.BoolValue"),
			}},
			{Name: new("Response"), Field: []*descriptorpb.FieldDescriptorProto{field("kind", 1, str, ""), field("side", 2, enum, pkg+".Side")}},
			many,
		},
		Service: []*descriptorpb.ServiceDescriptorProto{service},
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto),
		protodesc.ToFileDescriptorProto(durationpb.File_google_protobuf_duration_proto),
		protodesc.ToFileDescriptorProto(wrapperspb.File_google_protobuf_wrappers_proto),
		file,
	}}
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.FromDescriptorSet(data, upstream)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func table(t *testing.T, o schema.Options, schemas ...*schema.Schema) *schema.Table {
	t.Helper()
	tab, err := schema.NewTable(schemas, o)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func get(path string) *annotations.HttpRule {
	return &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: path}}
}

func post(path, body string) *annotations.HttpRule {
	return &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: path}, Body: body}
}

var one = []method{
	{name: "WatchMany", server: true, output: "Many", http: get("/v1/{name=shelves/*}/books/{number}:watch")},
	{name: "WatchKind", server: true, stream: &grpcssev1.Stream{Event: &grpcssev1.EventType{Source: &grpcssev1.EventType_Field{Field: "kind"}}}},
	{name: "WatchSide", server: true, http: post("/v1/sides", "*"), stream: &grpcssev1.Stream{Event: &grpcssev1.EventType{Source: &grpcssev1.EventType_Field{Field: "side"}}}},
	{name: "WatchPlain", server: true, http: get("/v1/with/quite/a/long/path/that/does/not/fit/into/one/line/together/with/curl/{inner.name}")},
	{name: "Put", http: &annotations.HttpRule{
		Pattern: &annotations.HttpRule_Put{Put: "/v1/items/{number}"}, Body: "label",
		AdditionalBindings: []*annotations.HttpRule{{Pattern: &annotations.HttpRule_Patch{Patch: "/v1/items/{number}"}, Body: "inner"}},
	}},
	{name: "Delete", http: &annotations.HttpRule{Pattern: &annotations.HttpRule_Delete{Delete: "/v1/items/{number}"}}},
	{name: "Poke", http: post("/v1/items/{number}:poke", "")},
	{name: "Upload", client: true, http: post("/v1/upload", "*")},
	{name: "Talk", client: true, server: true},
	{name: "Hidden", server: true},
	{name: "HiddenUnary"},
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := routetable.Write(&out, table(t, schema.Options{}, testSchema(t, "one", "acme.v1", one...)), "http://127.0.0.1:8080/"); err != nil {
		t.Fatal(err)
	}
	golden(t, "one.txt", out.Bytes())
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimRight(line, "\n")) > 120 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if i := bytes.IndexFunc(out.Bytes(), func(c rune) bool { return c < ' ' && c != '\n' }); i >= 0 {
		t.Errorf("a control character at %d", i)
	}
}

// Several upstreams are named; a rule gives a method its route.
func TestSeveralUpstreams(t *testing.T) {
	var out bytes.Buffer
	tab := table(t, schema.Options{
		Expose: []string{"b.v1.Service/Hidden"},
		Rules:  []*configv1.Rule{{Selector: "a.v1.Service.HiddenUnary", Http: get("/v1/a")}},
	}, testSchema(t, "first", "a.v1", method{name: "HiddenUnary"}, method{name: "Other"}), testSchema(t, "second", "b.v1", method{name: "Hidden", server: true}))
	if err := routetable.Write(&out, tab, "http://localhost:8080"); err != nil {
		t.Fatal(err)
	}
	golden(t, "several.txt", out.Bytes())
}

// Nothing in a name reaches the terminal as a command.
func TestControlCharacters(t *testing.T) {
	var out bytes.Buffer
	watch := method{name: "Watch", server: true, http: get("/v1/a")}
	tab := table(t, schema.Options{}, testSchema(t, "one", "a.v1", watch), testSchema(t, "two\x1b[2J\u202e", "b.v1", method{name: "Other", server: true, http: get("/v1/b")}))
	if err := routetable.Write(&out, tab, "http://localhost:8080"); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "upstream two\uFFFD[2J\uFFFD)") {
		t.Errorf("%q", text)
	}
}

func TestNothingServed(t *testing.T) {
	var out bytes.Buffer
	if err := routetable.Write(&out, table(t, schema.Options{}, testSchema(t, "one", "a.v1", method{name: "Watch", server: true})), "http://localhost:8080"); err != nil {
		t.Fatal(err)
	}
	golden(t, "nothing.txt", out.Bytes())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestWriteError(t *testing.T) {
	if err := routetable.Write(brokenWriter{}, table(t, schema.Options{}), "http://localhost"); err == nil {
		t.Error("the writer's error is lost")
	}
}

var curlURL = regexp.MustCompile(`curl.*(?:\\\n\s*)?'http://localhost(/[^']*)'`)

// The path in a curl command is one that the template matches, by the router that serves it.
func TestCurlMatchesTemplate(t *testing.T) {
	for template, want := range map[string]string{
		"/v1/a":                                "/v1/a",
		"/v1/{name}":                           "/v1/NAME",
		"/v1/{number}":                         "/v1/1",
		"/v1/{inner.inner.name}":               "/v1/NAME",
		"/v1/{side}":                           "/v1/SIDE_BUY",
		"/v1/{flag}/{data}":                    "/v1/true/QUJD",
		"/v1/{since}":                          "/v1/2026-01-01T00:00:00Z",
		"/v1/{window}":                         "/v1/1s",
		"/v1/{limit}/{label}":                  "/v1/1/LABEL",
		"/v1/{name=shelves/*/books/*}":         "/v1/shelves/NAME/books/NAME",
		"/v1/{name=files/**}:read":             "/v1/files/NAME:read",
		"/v1/{name=**}":                        "/v1/NAME",
		"/v1/*/x/**":                           "/v1/X/x/X",
		"/v1/{name=shelves/*}/{number}:doThis": "/v1/shelves/NAME/1:doThis",
	} {
		var out bytes.Buffer
		tab := table(t, schema.Options{}, testSchema(t, "one", "a.v1", method{name: "Get", http: get(template)}))
		if err := routetable.Write(&out, tab, "http://localhost"); err != nil {
			t.Fatal(err)
		}
		m := curlURL.FindStringSubmatch(out.String())
		if m == nil || m[1] != want {
			t.Errorf("%s: got %v, want %s", template, m, want)
			continue
		}
		mux := runtime.NewServeMux()
		if err := mux.HandlePath(http.MethodGet, template, func(http.ResponseWriter, *http.Request, map[string]string) {}); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, m[1], nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s does not match %s", m[1], template)
		}
	}
}

func TestCurlBody(t *testing.T) {
	for body, want := range map[string]string{
		"*": `'{}'`, "inner": `'{}'`, "name": `'"NAME"'`, "number": `'1'`, "flag": `'true'`, "side": `'"SIDE_BUY"'`, "data": `'"QUJD"'`, "tags": `'[]'`,
		"since": `'"2026-01-01T00:00:00Z"'`, "window": `'"1s"'`, "limit": `'1'`, "label": `'"VALUE"'`, "on": `'true'`,
	} {
		var out bytes.Buffer
		tab := table(t, schema.Options{}, testSchema(t, "one", "a.v1", method{name: "Do", http: post("/v1/do", body)}))
		if err := routetable.Write(&out, tab, "http://localhost"); err != nil {
			t.Fatal(err)
		}
		if line := "curl -H 'Content-Type: application/json' -d " + want + " 'http://localhost/v1/do'\n"; !strings.Contains(out.String(), line) {
			t.Errorf("body %s: no %q in\n%s", body, line, out.String())
		}
	}
}

func TestBaseURL(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"[::1]:8080":     "http://[::1]:8080",
		":8080":          "http://localhost:8080",
		"0.0.0.0:8080":   "http://localhost:8080",
		"[::]:8080":      "http://localhost:8080",
		"prices:80":      "http://prices:80",
	} {
		if got := routetable.BaseURL(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
