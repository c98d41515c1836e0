package schema_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// pairs has two fields of one type with oneofs, and two that are cases of a oneof.
const pairs = `
message_type {
  name: "Ref"
  field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  field { name: "code" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "name" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  oneof_decl { name: "by" }
  oneof_decl { name: "_id" }
}
message_type {
  name: "Request"
  field { name: "from" number: 1 type: TYPE_MESSAGE type_name: ".acme.v1.Ref" label: LABEL_OPTIONAL }
  field { name: "to" number: 2 type: TYPE_MESSAGE type_name: ".acme.v1.Ref" label: LABEL_OPTIONAL }
  field { name: "x" number: 3 type: TYPE_MESSAGE type_name: ".acme.v1.Ref" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "y" number: 4 type: TYPE_MESSAGE type_name: ".acme.v1.Other" label: LABEL_OPTIONAL oneof_index: 0 }
  oneof_decl { name: "which" }
}
message_type { name: "Other" field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Event" }
`

// boundTo is the error of a rule with this path, if there is one.
func boundTo(t *testing.T, path string) error {
	t.Helper()
	s := load(t, "u", file("a.proto", "acme.v1", pairs+`service { name: "S" `+watch("W", get(path))+`}`))
	_, err := schema.NewTable([]*schema.Schema{s}, schema.Options{})
	return err
}

// TestVariablesOfOneTypeTwice: variables in two messages of one type do not exclude each other.
func TestVariablesOfOneTypeTwice(t *testing.T) {
	for _, path := range []string{"/v1/{from.id}/{to.id}", "/v1/{from.code}/{to.code}", "/v1/{from.code}/{to.name}"} {
		if err := boundTo(t, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestVariablesInsideCases: variables inside two cases of one oneof can never be set together.
func TestVariablesInsideCases(t *testing.T) {
	for _, path := range []string{"/v1/{x.id}/{y.id}", "/v1/{x.code}/{x.name}"} {
		if err := boundTo(t, path); err == nil {
			t.Errorf("%s: no error, and every request will be a 400", path)
		}
	}
	if err := boundTo(t, "/v1/{x.id}/{x.code}"); err != nil { // inside the same
		t.Error(err)
	}
}
