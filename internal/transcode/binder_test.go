package transcode_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestBindQuery(t *testing.T) {
	b := binder(t, descriptor(&chatv1.CompleteRequest{}), schema.Binding{Verb: "GET", Template: "/v1/chat"})
	req, err := b.Bind(nil, url.Values{"prompt": {"hi"}, "maxTokens": {"5"}, "fault": {"FAULT_MIDWAY"}, "_": {"1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := &chatv1.CompleteRequest{}
	if err := proto.Unmarshal(req.Wire, got); err != nil {
		t.Fatal(err)
	}
	want := &chatv1.CompleteRequest{Prompt: "hi", MaxTokens: 5, Fault: chatv1.Fault_FAULT_MIDWAY}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
