//go:build !race

// With the race detector on, pools forget at random, on purpose.

package transcode_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// A frame costs no allocation, wherever its type comes from.
func TestAppendFrameDoesNotAllocate(t *testing.T) {
	token := &chatv1.CompleteResponse{Sequence: 3, Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "stream"}}}
	post := &feedv1.WatchFeedResponse{Sequence: 4, Kind: "comment", Text: "text"}
	cases := descriptor(token).Oneofs().ByName("event")
	for _, c := range []struct {
		name      string
		message   proto.Message
		from      schema.EventType
		caseValue bool
	}{
		{"full name", token, schema.EventType{}, false},
		{"literal", token, schema.EventType{Literal: "token"}, false},
		{"oneof", token, schema.EventType{Oneof: cases}, false},
		{"set case alone", token, schema.EventType{Oneof: cases}, true},
		{"string field", post, schema.EventType{Field: descriptor(post).Fields().ByName("kind")}, false},
	} {
		m := methodOf(nil, descriptor(c.message))
		m.Stream.Event, m.Stream.CaseValue = c.from, c.caseValue
		e := transcode.NewEncoder(m)
		id := event.At(1_700_000_000_000_000, event.NewMark())
		wire := marshal(t, c.message)
		buf := e.AppendFrame(nil, id, wire)
		if n := testing.AllocsPerRun(100, func() { buf = e.AppendFrame(buf[:0], id, wire) }); n != 0 {
			t.Errorf("%s: %v allocations a frame, want none", c.name, n)
		}
	}
}
