package render_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// BenchmarkRender compares the program of a type with protojson, on generated and on dynamic messages, from wire bytes
// to JSON. The budget is an eighth of the one and a fifteenth of the other, and no allocation.
func BenchmarkRender(b *testing.B) {
	for _, s := range samples() {
		wire := marshal(b, s.message)
		run := func(name string, render func(dst []byte) []byte) {
			b.Run(s.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(wire)))
				b.ReportAllocs()
				var dst []byte
				for b.Loop() {
					dst = render(dst[:0])
				}
			})
		}
		program := render.NewTypes(global).Program(s.message.ProtoReflect().Descriptor())
		run("program", func(dst []byte) []byte { return mustRender(b, program, dst, wire) })
		run("generated", func(dst []byte) []byte { return throughMessage(b, s.message.ProtoReflect().New(), dst, wire) })
		run("dynamic", func(dst []byte) []byte {
			return throughMessage(b, dynamicpb.NewMessage(s.message.ProtoReflect().Descriptor()), dst, wire)
		})
	}
}

// mustRender does not call Helper, and neither does the next: it would take longer than what is measured.
func mustRender(t testing.TB, p *render.Program, dst, wire []byte) []byte { //nolint:thelper // see above
	m, err := p.Open(wire)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dst, err = m.AppendJSON(dst)
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func throughMessage(t testing.TB, m protoreflect.Message, dst, wire []byte) []byte { //nolint:thelper // see above
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, m.Interface()); err != nil {
		t.Fatal(err)
	}
	dst, err := protojson.MarshalOptions{AllowPartial: true}.MarshalAppend(dst, m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return dst
}
