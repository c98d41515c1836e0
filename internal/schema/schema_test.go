package schema_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestDescriptorSetErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want []string
	}{
		"nothing":    {nil, []string{"holds no files", "buf build"}},
		"no set":     {[]byte("syntax = \"proto3\";"), []string{"not a serialized google.protobuf.FileDescriptorSet", "protoc --include_imports"}},
		"nameless":   {set(t, `package: "x"`), []string{"has no name"}},
		"two files":  {set(t, `name: "a.proto" package: "x"`, `name: "a.proto" package: "y"`), []string{`"a.proto" is there twice`}},
		"no imports": {set(t, `name: "a.proto" dependency: "b.proto" dependency: "c/d.proto"`), []string{`file "a.proto" imports "b.proto"`, `imports "c/d.proto"`, "with its imports"}},
		"unknown well-known import": {
			set(t, `name: "a.proto" dependency: "google/protobuf/nope.proto"`),
			[]string{`imports "google/protobuf/nope.proto"`},
		},
		"cycle": {
			set(t, `name: "a.proto" dependency: "b.proto"`, `name: "b.proto" dependency: "a.proto"`),
			[]string{`file "a.proto" imports itself`},
		},
		"unknown type": {
			set(t, `name: "a.proto" syntax: "proto3" message_type { name: "M" field { name: "x" number: 1 type: TYPE_MESSAGE type_name: ".no.Such" label: LABEL_OPTIONAL } }`),
			[]string{`file "a.proto" is not valid`, "no.Such"},
		},
		"one name in two files": {
			set(t, `name: "a.proto" message_type { name: "M" }`, `name: "b.proto" message_type { name: "M" }`),
			[]string{`file "b.proto"`, "M"},
		},
		"an edition of the future": {
			set(t, `name: "a.proto" syntax: "editions" edition: EDITION_99999_TEST_ONLY`),
			[]string{`file "a.proto"`, "edition"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := schema.FromDescriptorSet(tt.data, "x")
			wantError(t, err, tt.want...)
		})
	}
}

func TestWellKnownImportsAreFilledIn(t *testing.T) {
	s := prices(t, watch("Watch", get("/v1/watch")))
	for _, path := range []string{"google/api/http.proto", "google/protobuf/descriptor.proto", "grpcsse/v1/stream.proto", "google/protobuf/duration.proto"} {
		if _, err := s.Files.FindFileByPath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if diff := cmp.Diff([]protoreflect.FullName{"acme.v1.Prices"}, s.Services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if table(t, schema.Options{}, s).Lookup("acme.v1.Prices.Watch") == nil {
		t.Error("the option was not read")
	}
}

func TestTheSetsOwnFilesWin(t *testing.T) {
	own := `name: "google/protobuf/timestamp.proto" package: "google.protobuf" syntax: "proto3" message_type { name: "Timestamp" field { name: "ours" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL } }`
	s := load(t, "x", own, `name: "a.proto" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"`)
	d, err := s.Files.FindDescriptorByName("google.protobuf.Timestamp.ours")
	if err != nil || d.ParentFile().Path() != "google/protobuf/timestamp.proto" {
		t.Errorf("the set's own timestamp.proto was replaced: %v", err)
	}
}

func TestWellKnownTypesResolveWithoutImport(t *testing.T) {
	moved := `name: "vendor/struct.proto" package: "google.protobuf" syntax: "proto3" message_type { name: "Struct" }`
	s := load(t, "x", moved, `name: "a.proto" syntax: "proto3"`)
	for _, name := range []protoreflect.FullName{"google.protobuf.Any", "google.protobuf.Duration", "google.protobuf.StringValue", "google.protobuf.Struct"} {
		if _, err := s.Types.FindMessageByURL("type.googleapis.com/" + string(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingEntersTheGlobalRegistry(t *testing.T) {
	before := protoregistry.GlobalFiles.NumFiles()
	table(t, schema.Options{}, prices(t, watch("Watch", get("/v1/watch"))))
	if after := protoregistry.GlobalFiles.NumFiles(); after != before {
		t.Errorf("%d files in the global registry, %d before", after, before)
	}
	if _, err := protoregistry.GlobalTypes.FindMessageByName("acme.v1.Request"); err == nil {
		t.Error("acme.v1.Request is registered globally")
	}
}

func TestUpstreamsMayDifferAboutAType(t *testing.T) {
	one := load(t, "one", file("a.proto", "acme.v1", messages+`service { name: "A" `+watch("W", get("/a"))+`}`))
	two := load(t, "two", file("b.proto", "acme.v1", `message_type { name: "Request" } message_type { name: "Event" } service { name: "B" `+watch("W", get("/b"))+`}`))
	tab := table(t, schema.Options{}, one, two)
	if a, b := tab.Lookup("acme.v1.A.W").Input, tab.Lookup("acme.v1.B.W").Input; a.Fields().Len() == 0 || b.Fields().Len() != 0 {
		t.Errorf("requests with %d and %d fields", a.Fields().Len(), b.Fields().Len())
	}
}

func TestFingerprint(t *testing.T) {
	base := prices(t, watch("Watch", get("/v1/watch")))
	if again := prices(t, watch("Watch", get("/v1/watch"))); again.Fingerprint != base.Fingerprint {
		t.Error("two fingerprints of one schema")
	}
	if other := prices(t, watch("Watch", get("/v2/watch"))); other.Fingerprint == base.Fingerprint {
		t.Error("one fingerprint of two schemas")
	}
	text := file("acme/prices.proto", "acme.v1", messages+`service { name: "Prices" `+watch("Watch", get("/v1/watch"))+`}`)
	if commented := load(t, "prices", text+` source_code_info { location { path: 4 span: [0, 0, 1] leading_comments: "hello" } }`); commented.Fingerprint != base.Fingerprint {
		t.Error("a comment changes the fingerprint")
	}
}

// kinds.binpb is made from testdata/kinds by `buf build internal/schema/testdata/kinds -o internal/schema/testdata/kinds.binpb`.
func TestProto2AndEditions(t *testing.T) {
	data, err := os.ReadFile("testdata/kinds.binpb")
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.FromDescriptorSet(data, "kinds")
	if err != nil {
		t.Fatal(err)
	}
	tab := table(t, schema.Options{Rules: rules(t,
		`selector: "kinds.v1.Legacy.Follow" http { get: "/rooms/{room}" }`,
		`selector: "kinds.v1.Modern.Watch" http { get: "/watch/{legacy.room}/{level}" } stream { event { field: "level" } }`,
	)}, s)

	follow := tab.Lookup("kinds.v1.Legacy.Follow")
	if diff := cmp.Diff([]string{"said", "joined"}, follow.EventTypes()); diff != "" {
		t.Errorf("proto2 event types (-want +got):\n%s", diff)
	}
	request := dynamicpb.NewMessage(follow.Input)
	if err := (prototext.UnmarshalOptions{Resolver: follow.Types}).Unmarshal([]byte(`room: "a" Filter { key: "k" } [kinds.v1.note]: "n"`), request); err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	back := dynamicpb.NewMessage(follow.Input)
	if err := (proto.UnmarshalOptions{Resolver: follow.Types}).Unmarshal(raw, back); err != nil || !proto.Equal(request, back) {
		t.Errorf("round trip of required, group and extension: %v, %v", err, back)
	}

	modern := tab.Lookup("kinds.v1.Modern.Watch")
	if diff := cmp.Diff([]string{"LOW", "HIGH"}, modern.EventTypes()); diff != "" {
		t.Errorf("edition event types (-want +got):\n%s", diff)
	}
	fields := modern.Input.Fields()
	if fields.ByName("name").HasPresence() || !fields.ByName("level").HasPresence() || fields.ByName("legacy").Kind() != protoreflect.GroupKind {
		t.Error("the edition's features were not applied")
	}
	if !modern.Idempotent {
		t.Error("NO_SIDE_EFFECTS was not read")
	}
}

func FuzzFromDescriptorSet(f *testing.F) {
	f.Add(set(f, `name: "a.proto" dependency: "google/protobuf/any.proto"`))
	f.Add(set(f, file("acme/prices.proto", "acme.v1", messages+`service { name: "Prices" `+watch("Watch", get("/v1/{symbol}"))+`}`)))
	if data, err := os.ReadFile("testdata/kinds.binpb"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := schema.FromDescriptorSet(data, "x")
		if err != nil {
			return
		}
		tab, err := schema.NewTable([]*schema.Schema{s}, schema.Options{Expose: []string{"*"}, Partial: true})
		if err != nil {
			return
		}
		for _, m := range tab.Methods() {
			if _, err := protojson.Marshal(dynamicpb.NewMessage(m.Output)); err != nil && m.Output.RequiredNumbers().Len() == 0 {
				t.Logf("%s: %v", m.Name, err)
			}
		}
	})
}

// The descriptor of a descriptor is the largest proto2 file that everybody has.
func TestFileDescriptorOfDescriptors(t *testing.T) {
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		{Name: new("only.proto"), Dependency: []string{"google/protobuf/descriptor.proto"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schema.FromDescriptorSet(raw, "x"); err != nil {
		t.Error(err)
	}
}
