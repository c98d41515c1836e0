package schema_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// messages are the request and response that the tests' methods use.
const messages = `
message_type {
  name: "Request"
  field { name: "symbol" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "filter" number: 2 type: TYPE_MESSAGE type_name: ".acme.v1.Filter" label: LABEL_OPTIONAL }
  field { name: "tags" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "level" number: 4 type: TYPE_ENUM type_name: ".acme.v1.Level" label: LABEL_OPTIONAL }
  field { name: "since" number: 5 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "by_id" number: 6 type: TYPE_INT64 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "by_name" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  oneof_decl { name: "by" }
}
message_type {
  name: "Filter"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "tags" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
}
message_type {
  name: "Event"
  field { name: "quote" number: 1 type: TYPE_MESSAGE type_name: ".acme.v1.Filter" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "error" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "kind" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "level" number: 4 type: TYPE_ENUM type_name: ".acme.v1.Level" label: LABEL_OPTIONAL }
  field { name: "note" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  field { name: "labels" number: 6 type: TYPE_STRING label: LABEL_REPEATED }
  oneof_decl { name: "event" }
  oneof_decl { name: "_note" }
}
message_type {
  name: "Two"
  field { name: "a" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "b" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1 }
  oneof_decl { name: "first" }
  oneof_decl { name: "second" }
}
message_type {
  name: "Plain"
  field { name: "text" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 proto3_optional: true }
  oneof_decl { name: "_text" }
}
enum_type { name: "Level" value { name: "open" number: 0 } value { name: "HIGH" number: 1 } }
`

// file is the text of a FileDescriptorProto that imports what the tests' options need.
func file(name, pkg, body string) string {
	return `name: "` + name + `" package: "` + pkg + `" syntax: "proto3"
		dependency: "google/api/annotations.proto" dependency: "grpcsse/v1/stream.proto" dependency: "google/protobuf/timestamp.proto"
		` + body
}

// watch is the text of a server-streaming method from Request to Event.
func watch(name, options string) string {
	return method(name, "Event", options) + " "
}

func method(name, output, options string) string {
	return `method { name: "` + name + `" input_type: ".acme.v1.Request" output_type: ".acme.v1.` + output + `" server_streaming: true options { ` + options + ` } }`
}

func unary(name, options string) string {
	return strings.Replace(watch(name, options), "server_streaming: true", "", 1)
}

// get is the text of an HTTP rule's option.
func get(path string) string { return `[google.api.http] { get: "` + path + `" }` }

// set serializes files given as text.
func set(t testing.TB, files ...string) []byte {
	t.Helper()
	fds := &descriptorpb.FileDescriptorSet{}
	for _, text := range files {
		fd := &descriptorpb.FileDescriptorProto{}
		if err := prototext.Unmarshal([]byte(text), fd); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		fds.File = append(fds.File, fd)
	}
	raw, err := proto.Marshal(fds)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// prices is a schema with one service, acme.v1.Prices, of the methods given as text.
func prices(t testing.TB, methods ...string) *schema.Schema {
	t.Helper()
	return load(t, "prices", file("acme/prices.proto", "acme.v1", messages+`service { name: "Prices" `+strings.Join(methods, " ")+` }`))
}

func load(t testing.TB, upstream string, files ...string) *schema.Schema {
	t.Helper()
	s, err := schema.FromDescriptorSet(set(t, files...), upstream)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rule parses a config rule's text.
func rule(t testing.TB, text string) *configv1.Rule {
	t.Helper()
	r := &configv1.Rule{}
	if err := prototext.Unmarshal([]byte(text), r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

func table(t testing.TB, o schema.Options, schemas ...*schema.Schema) *schema.Table {
	t.Helper()
	tab, err := schema.NewTable(schemas, o)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// wantError checks that an error says all of these.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error\n  %v\nhas no %q", err, part)
		}
	}
}

func rules(t testing.TB, texts ...string) []*configv1.Rule {
	t.Helper()
	var rs []*configv1.Rule
	for _, text := range texts {
		rs = append(rs, rule(t, text))
	}
	return rs
}
