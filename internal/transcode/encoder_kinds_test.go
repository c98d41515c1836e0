package transcode_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// kindsFiles are files in every syntax, none of which is linked into this program.
var kindsFiles = []string{
	`
	name: "two.proto" package: "kinds.two" syntax: "proto2"
	message_type { name: "M"
		field { name: "need" number: 1 type: TYPE_INT32 label: LABEL_REQUIRED }
		field { name: "other" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL default_value: "50" }
		field { name: "filter" number: 3 type: TYPE_GROUP type_name: ".kinds.two.M.Filter" label: LABEL_REPEATED }
		field { name: "level" number: 4 type: TYPE_ENUM type_name: ".kinds.two.Level" label: LABEL_OPTIONAL }
		field { name: "packed_no" number: 5 type: TYPE_INT32 label: LABEL_REPEATED }
		field { name: "custom_name" number: 6 type: TYPE_BOOL label: LABEL_OPTIONAL json_name: "CUSTOM" }
		nested_type { name: "Filter" field { name: "a_key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
		nested_type { name: "Scope" extension { name: "inner" number: 102 type: TYPE_MESSAGE type_name: ".kinds.two.M.Scope" label: LABEL_OPTIONAL extendee: ".kinds.two.M" }
			field { name: "text" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
		extension_range { start: 100 end: 200 } }
	enum_type { name: "Level" value { name: "LOW" number: 1 } value { name: "HIGH" number: 2 } }
	extension { name: "note" number: 100 type: TYPE_STRING label: LABEL_OPTIONAL extendee: ".kinds.two.M" }
	extension { name: "many_numbers" number: 101 type: TYPE_INT64 label: LABEL_REPEATED extendee: ".kinds.two.M" }`, `
	name: "three.proto" package: "kinds.three" syntax: "proto3" dependency: "two.proto"
	dependency: "google/protobuf/any.proto" dependency: "google/protobuf/duration.proto" dependency: "google/protobuf/empty.proto"
	dependency: "google/protobuf/field_mask.proto" dependency: "google/protobuf/struct.proto"
	dependency: "google/protobuf/timestamp.proto" dependency: "google/protobuf/wrappers.proto"
	message_type { name: "M"
		field { name: "a_number" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
		field { name: "maybe" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 0 proto3_optional: true }
		field { name: "legacy" number: 3 type: TYPE_MESSAGE type_name: ".kinds.two.M" label: LABEL_OPTIONAL }
		field { name: "any" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
		field { name: "anys" number: 5 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_REPEATED }
		field { name: "level" number: 6 type: TYPE_ENUM type_name: ".kinds.three.Level" label: LABEL_OPTIONAL }
		field { name: "at" number: 10 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
		field { name: "took" number: 11 type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" label: LABEL_OPTIONAL }
		field { name: "mask" number: 12 type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" label: LABEL_OPTIONAL }
		field { name: "struct" number: 13 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL }
		field { name: "value" number: 14 type: TYPE_MESSAGE type_name: ".google.protobuf.Value" label: LABEL_OPTIONAL }
		field { name: "list" number: 15 type: TYPE_MESSAGE type_name: ".google.protobuf.ListValue" label: LABEL_OPTIONAL }
		field { name: "null" number: 16 type: TYPE_ENUM type_name: ".google.protobuf.NullValue" label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
		field { name: "empty" number: 17 type: TYPE_MESSAGE type_name: ".google.protobuf.Empty" label: LABEL_OPTIONAL }
		field { name: "bool_w" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.BoolValue" label: LABEL_OPTIONAL }
		field { name: "int32_w" number: 19 type: TYPE_MESSAGE type_name: ".google.protobuf.Int32Value" label: LABEL_OPTIONAL }
		field { name: "int64_w" number: 20 type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value" label: LABEL_OPTIONAL }
		field { name: "uint32_w" number: 21 type: TYPE_MESSAGE type_name: ".google.protobuf.UInt32Value" label: LABEL_OPTIONAL }
		field { name: "uint64_w" number: 22 type: TYPE_MESSAGE type_name: ".google.protobuf.UInt64Value" label: LABEL_OPTIONAL }
		field { name: "float_w" number: 23 type: TYPE_MESSAGE type_name: ".google.protobuf.FloatValue" label: LABEL_OPTIONAL }
		field { name: "double_w" number: 24 type: TYPE_MESSAGE type_name: ".google.protobuf.DoubleValue" label: LABEL_OPTIONAL }
		field { name: "string_w" number: 25 type: TYPE_MESSAGE type_name: ".google.protobuf.StringValue" label: LABEL_OPTIONAL }
		field { name: "bytes_w" number: 26 type: TYPE_MESSAGE type_name: ".google.protobuf.BytesValue" label: LABEL_OPTIONAL }
		oneof_decl { name: "_maybe" } oneof_decl { name: "_null" } }
	enum_type { name: "Level" value { name: "ZERO" number: 0 } value { name: "HIGH" number: 2 } }`, `
	name: "edition.proto" package: "kinds.edition" syntax: "editions" edition: EDITION_2023 dependency: "two.proto"
	options { features { field_presence: IMPLICIT } }
	message_type { name: "M"
		field { name: "plain" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
		field { name: "maybe" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL options { features { field_presence: EXPLICIT } } }
		field { name: "need" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL options { features { field_presence: LEGACY_REQUIRED } } }
		field { name: "sub" number: 4 type: TYPE_MESSAGE type_name: ".kinds.edition.M" label: LABEL_OPTIONAL options { features { message_encoding: DELIMITED } } }
		field { name: "sub_list" number: 5 type: TYPE_MESSAGE type_name: ".kinds.edition.M" label: LABEL_REPEATED options { features { message_encoding: DELIMITED } } }
		field { name: "open" number: 6 type: TYPE_ENUM type_name: ".kinds.edition.Open" label: LABEL_OPTIONAL }
		field { name: "closed" number: 7 type: TYPE_ENUM type_name: ".kinds.edition.Closed" label: LABEL_OPTIONAL options { features { field_presence: EXPLICIT } } }
		field { name: "unpacked" number: 8 type: TYPE_INT32 label: LABEL_REPEATED options { features { repeated_field_encoding: EXPANDED } } }
		extension_range { start: 100 end: 200 } }
	enum_type { name: "Open" value { name: "NONE" number: 0 } value { name: "ONE" number: 1 } }
	enum_type { name: "Closed" value { name: "LOW" number: 1 } value { name: "HIGH" number: 2 } options { features { enum_type: CLOSED } } }
	extension { name: "tag" number: 100 type: TYPE_STRING label: LABEL_OPTIONAL extendee: ".kinds.edition.M" options { features { field_presence: EXPLICIT } } }
	extension { name: "legacy" number: 101 type: TYPE_MESSAGE type_name: ".kinds.two.M" label: LABEL_OPTIONAL extendee: ".kinds.edition.M" options { features { field_presence: EXPLICIT message_encoding: DELIMITED } } }`,
}

// kindsSchema is what a backend with these files says about itself.
func kindsSchema(t testing.TB) *schema.Schema {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	for _, text := range kindsFiles {
		fd := &descriptorpb.FileDescriptorProto{}
		if err := prototext.Unmarshal([]byte(text), fd); err != nil {
			t.Fatal(err)
		}
		set.File = append(set.File, fd)
	}
	s, err := schema.FromDescriptorSet(marshal(t, set), "kinds")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every kind of protobuf is rendered as protobuf's JSON mapping says, from what the schema knows.
func TestKindsOfProtobuf(t *testing.T) {
	s := kindsSchema(t)
	for _, c := range []struct{ name, message, text, want string }{
		{"proto2: unset, though it has a default", "two", ``, `{}`},
		{"proto2: zero that is set", "two", `need: 0 other: 0 level: LOW`, `{"need":0,"other":0,"level":"LOW"}`},
		{"proto2: names", "two", `custom_name: true packed_no: [1, 2]`, `{"packedNo":[1,2],"CUSTOM":true}`},
		{"proto2: group", "two", `Filter { a_key: "x" } Filter {}`, `{"filter":[{"aKey":"x"},{}]}`},
		{"extension", "two", `[kinds.two.note]: "n"`, `{"[kinds.two.note]":"n"}`},
		{"repeated extension", "two", `[kinds.two.many_numbers]: [1, -2]`, `{"[kinds.two.many_numbers]":["1","-2"]}`},
		{"extension in the scope of a message", "two", `[kinds.two.M.Scope.inner] { text: "x" }`, `{"[kinds.two.M.Scope.inner]":{"text":"x"}}`},
		{"extensions in a submessage", "three", `legacy { need: 1 [kinds.two.note]: "n" }`, `{"legacy":{"need":1,"[kinds.two.note]":"n"}}`},

		{"proto3: presence", "three", `a_number: 0 maybe: 0`, `{"maybe":0}`},
		{"proto3: open enum", "three", `level: 7`, `{"level":7}`},
		{"Any of the schema", "three", `any { [x.com/kinds.two.M] { need: 1 [kinds.two.note]: "n" Filter { a_key: "k" } } }`, `{"any":{"@type":"x.com/kinds.two.M","need":1,"filter":[{"aKey":"k"}],"[kinds.two.note]":"n"}}`},
		{"Any of an edition's message", "three", `any { [x.com/kinds.edition.M] { need: 1 maybe: 0 sub { need: 2 } } }`, `{"any":{"@type":"x.com/kinds.edition.M","maybe":0,"need":1,"sub":{"need":2}}}`},
		{"Any of well-known types", "three", `anys { [x/google.protobuf.Duration] { seconds: 1 } } anys { [x/google.protobuf.Empty] {} } anys { [x/google.protobuf.Struct] {} }`, `{"anys":[{"@type":"x/google.protobuf.Duration","value":"1s"},{"@type":"x/google.protobuf.Empty"},{"@type":"x/google.protobuf.Struct","value":{}}]}`},
		{"Any in Any", "three", `any { [x/google.protobuf.Any] { [x/kinds.three.M] { a_number: 1 } } }`, `{"any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/kinds.three.M","aNumber":1}}}`},
		{"times", "three", `at { seconds: 1 nanos: 500000000 } took { seconds: -1 nanos: -1000 }`, `{"at":"1970-01-01T00:00:01.500Z","took":"-1.000001s"}`},
		{"FieldMask", "three", `mask { paths: "a_b.c" paths: "d" }`, `{"mask":"aB.c,d"}`},
		{"Struct", "three", `struct { fields { key: "k" value { number_value: 1.5 } } }`, `{"struct":{"k":1.5}}`},
		{"Value", "three", `value { list_value { values { bool_value: true } values { null_value: NULL_VALUE } values { string_value: "x" } } }`, `{"value":[true,null,"x"]}`},
		{"ListValue", "three", `list { values { struct_value {} } }`, `{"list":[{}]}`},
		{"NullValue and Empty", "three", `null: NULL_VALUE empty {}`, `{"null":null,"empty":{}}`},
		{"wrappers", "three", `bool_w { value: true } int32_w { value: -1 } int64_w { value: -2 } uint32_w { value: 3 } uint64_w { value: 4 }`, `{"boolW":true,"int32W":-1,"int64W":"-2","uint32W":3,"uint64W":"4"}`},
		{"more wrappers", "three", `float_w { value: 0.5 } double_w { value: inf } string_w { value: "s" } bytes_w { value: "\xfb\xff" }`, `{"floatW":0.5,"doubleW":"Infinity","stringW":"s","bytesW":"+/8="}`},
		{"wrappers of zero", "three", `bool_w {} int64_w {} string_w {} bytes_w {}`, `{"boolW":false,"int64W":"0","stringW":"","bytesW":""}`},

		{"edition: presence", "edition", `plain: 0 maybe: 0`, `{"maybe":0}`},
		{"edition: required, which is not set", "edition", `plain: 1`, `{"plain":1}`},
		{"edition: delimited", "edition", `sub { plain: 1 sub { maybe: 2 } } sub_list {} sub_list { plain: 3 }`, `{"sub":{"plain":1,"sub":{"maybe":2}},"subList":[{},{"plain":3}]}`},
		{"edition: enums", "edition", `open: NONE closed: HIGH`, `{"closed":"HIGH"}`},
		{"edition: an open enum's other values", "edition", `open: 9`, `{"open":9}`},
		{"edition: expanded", "edition", `unpacked: [1, 0, 2]`, `{"unpacked":[1,0,2]}`},
		{"edition: extensions", "edition", `[kinds.edition.tag]: "" [kinds.edition.legacy] { need: 1 }`, `{"[kinds.edition.legacy]":{"need":1},"[kinds.edition.tag]":""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := s.Files.FindDescriptorByName(protoreflect.FullName("kinds." + c.message + ".M"))
			if err != nil {
				t.Fatal(err)
			}
			method := methodOf(nil, d.(protoreflect.MessageDescriptor))
			method.Types = s.Types
			m := dynamicpb.NewMessage(method.Output)
			if err := (prototext.UnmarshalOptions{AllowPartial: true, Resolver: s.Types}).Unmarshal([]byte(c.text), m); err != nil {
				t.Fatal(err)
			}
			wire := marshal(t, m)
			got, err := transcode.NewEncoder(method).AppendJSON(nil, wire)
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
			back := dynamicpb.NewMessage(method.Output)
			if err := (protojson.UnmarshalOptions{AllowPartial: true, Resolver: s.Types}).Unmarshal(got, back); err != nil || !proto.Equal(m, back) {
				t.Errorf("protojson reads it as %v, %v", back, err)
			}
			if theirs := mapped(t, s.Types, m); !bytes.Equal(theirs, got) {
				t.Errorf("protojson says\n%s, and not\n%s", theirs, got)
			}
		})
	}
}

// mapped is protojson's form of a message, without white space.
func mapped(t *testing.T, types *dynamicpb.Types, m proto.Message) []byte {
	t.Helper()
	raw, err := protojson.MarshalOptions{AllowPartial: true, Resolver: types}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What the schema does not have is not there, although it is linked into this program or known to another backend.
func TestExtensionsOfOtherSchemasAreUnknown(t *testing.T) {
	s := kindsSchema(t)
	d, err := s.Files.FindDescriptorByName("kinds.two.M")
	if err != nil {
		t.Fatal(err)
	}
	method := methodOf(nil, d.(protoreflect.MessageDescriptor)) // with the types of this program
	m := dynamicpb.NewMessage(method.Output)
	if err := (prototext.UnmarshalOptions{AllowPartial: true, Resolver: s.Types}).Unmarshal([]byte(`need: 1 [kinds.two.note]: "n"`), m); err != nil {
		t.Fatal(err)
	}
	if got, err := transcode.NewEncoder(method).AppendJSON(nil, marshal(t, m)); err != nil || string(got) != `{"need":1}` {
		t.Errorf("%s, %v", got, err)
	}
}

// Binder takes in what Encoder gives out: a request may be written in any of these kinds, too.
func TestKindsOfProtobufInRequests(t *testing.T) {
	s := kindsSchema(t)
	for name, body := range map[string]string{
		"two":     `{"need":1,"filter":[{"aKey":"x"}],"CUSTOM":true,"[kinds.two.note]":"n","level":"HIGH"}`,
		"three":   `{"maybe":0,"any":{"@type":"x.com/kinds.two.M","need":1,"[kinds.two.note]":"n"},"at":"1970-01-01T00:00:01Z"}`,
		"edition": `{"maybe":0,"need":1,"sub":{"plain":1,"need":2},"closed":"LOW","[kinds.edition.tag]":"x"}`,
	} {
		d, err := s.Files.FindDescriptorByName(protoreflect.FullName("kinds." + name + ".M"))
		if err != nil {
			t.Fatal(err)
		}
		md := d.(protoreflect.MessageDescriptor)
		method := methodOf(md, md)
		method.Types = s.Types
		b, err := transcode.NewBinder(method, &schema.Binding{Body: "*"})
		if err != nil {
			t.Fatal(err)
		}
		request, err := b.Bind(nil, nil, []byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := dynamicpb.NewMessage(md)
		if err := (protojson.UnmarshalOptions{Resolver: s.Types}).Unmarshal([]byte(body), want); err != nil {
			t.Fatal(err)
		}
		got := dynamicpb.NewMessage(md)
		if err := (proto.UnmarshalOptions{Resolver: s.Types}).Unmarshal(request.Wire, got); err != nil || !proto.Equal(want, got) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
	}
}
