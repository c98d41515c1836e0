package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// The page is generated; that it is up to date is `make checkgenerate`. This says that nothing is left out of it.
func TestPageHasEveryField(t *testing.T) {
	page, err := os.ReadFile("../../docs/options.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []protoreflect.FileDescriptor{grpcssev1.File_grpcsse_v1_stream_proto, configv1.File_grpcsse_config_v1_config_proto} {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			section := section(t, string(page), string(m.Name()))
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				if !strings.Contains(section, fmt.Sprintf("\n| `%s` |", f.Name())) {
					t.Errorf("docs/options.md: %s is missing", f.FullName())
				}
			}
		}
		for i := range file.Enums().Len() {
			e := file.Enums().Get(i)
			section := section(t, string(page), string(e.Name()))
			for j := range e.Values().Len() {
				v := e.Values().Get(j)
				if !strings.Contains(section, fmt.Sprintf("\n| `%s` |", v.Name())) {
					t.Errorf("docs/options.md: %s is missing", v.FullName())
				}
			}
		}
	}
}

// section is what follows the heading of a message or enum, up to the next heading.
func section(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, fmt.Sprintf("\n### `%s`\n", name))
	if !ok {
		t.Errorf("docs/options.md: %s is missing", name)
		return ""
	}
	before, _, _ := strings.Cut(rest, "\n#")
	return before
}

// A field that nobody described must not get onto the page as an empty line. The generated descriptors have no
// comments at all, and so make the test's input.
func TestMissingCommentFails(t *testing.T) {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(configv1.File_grpcsse_config_v1_config_proto)
	input, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	docgen := exec.CommandContext(t.Context(), "go", "run", ".")
	docgen.Stdin = bytes.NewReader(input)
	out, err := docgen.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "grpcsse.v1.Stream has no comment") {
		t.Errorf("docgen on protos without comments: error %v, output %q; want it to fail and to name grpcsse.v1.Stream", err, out)
	}
}
