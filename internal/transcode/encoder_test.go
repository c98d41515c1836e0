package transcode_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

func TestFrame(t *testing.T) {
	m := methodOf(&chatv1.CompleteRequest{}, &chatv1.CompleteResponse{})
	m.Stream.Event = schema.EventType{Oneof: m.Output.Oneofs().ByName("event")}
	id := event.At(7, event.NewMark())
	wire := marshal(t, &chatv1.CompleteResponse{
		Sequence: 3, Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "<b>&\u2028\n"}},
	})
	got := string(transcode.NewEncoder(m).AppendFrame([]byte("before\n"), id, wire))
	want := "before\nid: " + id.String() + "\nevent: token\n" +
		`data: {"sequence":3,"token":{"text":"\u003cb\u003e\u0026\u2028\n"}}` + "\n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var _ = proto.Equal
var _ protoreflect.Name
