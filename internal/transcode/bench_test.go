package transcode_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	proto3pb "cel.dev/expr/conformance/proto3"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

func BenchmarkAppendFrame(b *testing.B) {
	for _, c := range []struct {
		name      string
		message   proto.Message
		caseValue bool
	}{
		{"token", &chatv1.CompleteResponse{Sequence: 12345, Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "stream"}}}, false},
		{"case", &chatv1.CompleteResponse{Sequence: 12345, Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "stream"}}}, true},
		{"text4k", &chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: strings.Repeat("text ", 800)}}}, false},
		{"numbers", &proto3pb.TestAllTypes{RepeatedInt64: make([]int64, 100), RepeatedDouble: make([]float64, 100)}, false},
		{"undecodable", &chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "stream"}}}, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := methodOf(nil, descriptor(c.message))
			m.Stream.Event.Oneof, m.Stream.CaseValue = m.Output.Oneofs().Get(0), c.caseValue
			e := transcode.NewEncoder(m)
			id := event.At(1_700_000_000_000_000, event.NewMark())
			wire := marshal(b, c.message)
			if c.name == "undecodable" {
				wire = wire[:len(wire)-1]
			}
			buf := e.AppendFrame(nil, id, wire)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				buf = e.AppendFrame(buf[:0], id, wire)
			}
		})
	}
}

func BenchmarkBind(b *testing.B) {
	md := descriptor(&proto3pb.TestAllTypes{})
	b.Run("query", func(b *testing.B) {
		bd := binder(b, md, schema.Binding{})
		q := url.Values{"singleInt64": {"5"}, "single_string": {"text"}, "standalone_message.bb": {"1"}, "repeated_string": {"a", "b"}}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bd.Bind(nil, q, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("body", func(b *testing.B) {
		bd := binder(b, md, schema.Binding{Body: "*"})
		body := []byte(`{"singleInt64":"5","single_string":"text","standaloneMessage":{"bb":1},"repeatedString":["a","b"]}`)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bd.Bind(nil, nil, body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A request full of unknown parameters must not cost much more than a good one.
func BenchmarkBindRefuses(b *testing.B) {
	bd := binder(b, descriptor(&proto3pb.TestAllTypes{}), schema.Binding{})
	q := url.Values{}
	for i := range 1000 {
		q.Set(strings.Repeat("no such name ", 4)+strconv.Itoa(i), "x")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bd.Bind(nil, q, nil); err == nil {
			b.Fatal("accepted")
		}
	}
}
