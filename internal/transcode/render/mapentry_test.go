package render_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// TestMapEntryInAny: an entry of a map that is a message of its own is written like any other.
func TestMapEntryInAny(t *testing.T) {
	md := (&anypb.Any{}).ProtoReflect().Descriptor()
	for _, content := range [][]byte{{}, {0x0a, 0}, {0x0a, 0, 0x12, 0}, {0x0a, 1, 'a', 0x12, 2, 0x1a, 0}} {
		wire, _ := proto.Marshal(&anypb.Any{TypeUrl: "x/google.protobuf.Struct.FieldsEntry", Value: content})
		ref := reference{md: md, types: global, name: "any of entry"}
		want, wr := ref.ask(wire)
		got, gr := ref.rendered(render.NewTypes(global).Program(md), wire)
		if string(want) != string(got) || wr != gr {
			t.Errorf("%x: got %s %s, want %s %s", content, got, gr, want, wr)
		}
	}
}
