package render_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// conformanceFiles are the messages of protobuf's conformance suite. Its MessageSets, which this module of protobuf has
// no support for, are made ordinary messages.
var conformanceFiles = sync.OnceValues(func() (*protoregistry.Files, error) {
	raw, err := os.ReadFile(filepath.Join("testdata", "conformance", "messages.binpb"))
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, err
	}
	for _, f := range set.File {
		noMessageSets(f.MessageType)
	}
	return protodesc.NewFiles(set)
})

func noMessageSets(messages []*descriptorpb.DescriptorProto) {
	for _, m := range messages {
		if m.GetOptions().GetMessageSetWireFormat() {
			m.Options.MessageSetWireFormat = nil
			m.ExtensionRange[0].End = new(int32(1 << 29))
		}
		noMessageSets(m.NestedType)
	}
}

// conformanceMessages are the messages of the suite that hold all the others.
func conformanceMessages(t testing.TB) (all []protoreflect.MessageDescriptor, types *dynamicpb.Types) {
	t.Helper()
	files, err := conformanceFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []protoreflect.FullName{
		"protobuf_test_messages.proto2.TestAllTypesProto2", "protobuf_test_messages.proto3.TestAllTypesProto3",
		"protobuf_test_messages.editions.TestAllTypesEdition2023",
		"protobuf_test_messages.editions.proto2.TestAllTypesProto2", "protobuf_test_messages.editions.proto3.TestAllTypesProto3",
	} {
		d, err := files.FindDescriptorByName(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d.(protoreflect.MessageDescriptor))
	}
	return all, dynamicpb.NewTypes(files)
}

func TestConformanceMessages(t *testing.T) {
	all, types := conformanceMessages(t)
	refused := 0
	const messages = 300
	for i, md := range all {
		r := rand.New(rand.NewPCG(uint64(i), 2))
		g := newWireMaker(r, md.ParentFile(), types)
		program := render.NewTypes(types).Program(md)
		for j := range messages {
			g.bad = []int{0, 0, 0, 2, 10}[j%5]
			ref := reference{md: md, types: types, name: string(md.FullName())}
			if j%4 == 0 {
				ref.oneof = md.Oneofs().Get(0)
			}
			wire := g.message(md, 4)
			ref.compare(t, program, wire)
			if _, reason := ref.ask(wire); reason != "" {
				refused++
			}
		}
	}
	if share := float64(refused) / float64(messages*len(all)); share > 0.7 {
		t.Errorf("%.0f %% of the messages are refused", share*100)
	}
}

// FuzzWire gives the messages of the conformance suite any bytes at all.
func FuzzWire(f *testing.F) {
	all, types := conformanceMessages(f)
	shared := render.NewTypes(types)
	for i, md := range all {
		g := newWireMaker(rand.New(rand.NewPCG(uint64(i), 3)), md.ParentFile(), types)
		for range 10 {
			f.Add(byte(i), g.message(md, 3))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, wire []byte) {
		md := all[int(which)%len(all)]
		ref := reference{md: md, types: types, name: string(md.FullName())}
		ref.compare(t, shared.Program(md), wire)
		ref.oneof = md.Oneofs().Get(0)
		ref.compare(t, shared.Program(md), wire)
	})
}
