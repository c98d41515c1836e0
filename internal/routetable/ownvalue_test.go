package routetable_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/routetable"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// TestOwnValueMessage: a message of the backend's own that only ends like a wrapper is written as an object.
func TestOwnValueMessage(t *testing.T) {
	fd := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(`name: "a.proto" package: "acme.v1" syntax: "proto3" dependency: "google/api/annotations.proto"
	message_type { name: "FaceValue" field { name: "value" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL } }
	message_type { name: "Request" field { name: "price" number: 1 type: TYPE_MESSAGE type_name: ".acme.v1.FaceValue" label: LABEL_OPTIONAL } }
	service { name: "S" method { name: "M" input_type: ".acme.v1.Request" output_type: ".acme.v1.Request" options { [google.api.http] { post: "/v1/prices" body: "price" } } } }`), fd); err != nil {
		t.Fatal(err)
	}
	raw, _ := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{fd}})
	s, err := schema.FromDescriptorSet(raw, "u")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_ = routetable.Write(&out, table(t, schema.Options{}, s), "http://x")
	if !strings.Contains(out.String(), "-d '{}'") {
		t.Error(out.String())
	}
}
