package backend_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	benchv1 "github.com/grpc-sse/grpc-sse/bench/gen/bench/v1"
	"github.com/grpc-sse/grpc-sse/bench/internal/backend"
	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublishReachesAllCallsOfAStream(t *testing.T) {
	s, err := backend.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	conn, err := grpc.NewClient(s.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	payload := event.Payload(nil, 1, 2)
	if err := s.Publish(t.Context(), "a", payload); !errors.Is(err, backend.ErrNobody) {
		t.Errorf("publishing without a call: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := benchv1.NewEventServiceClient(conn)
	var calls []grpc.ServerStreamingClient[benchv1.Event]
	for _, hello := range []bool{false, true} {
		call, err := client.WatchLive(ctx, &benchv1.WatchRequest{Stream: "a", Hello: hello})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := call.Header(); err != nil { // from here on it is subscribed
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	if got := s.Calls("a"); got != 2 {
		t.Errorf("%d calls are open", got)
	}
	if greeting, err := calls[1].Recv(); err != nil || greeting.GetSeq() != 0 {
		t.Errorf("greeting: %v, %v", greeting, err)
	}
	if err := s.Publish(t.Context(), "a", payload); err != nil {
		t.Fatal(err)
	}
	for i, call := range calls {
		got, err := call.Recv()
		if err != nil || got.GetSeq() != 1 || got.GetSent() != 2 || len(got.GetPad()) < event.Size/2 {
			t.Errorf("call %d: %v, %v", i, got, err)
		}
	}
	if err := s.Publish(t.Context(), "a", []byte("{}")); err == nil {
		t.Error("what is no event was published")
	}
}
