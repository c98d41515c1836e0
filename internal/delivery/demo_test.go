package delivery_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/grpc-sse/grpc-sse/internal/demo"
	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// demoStreams are the frames of the demo's streams, by name: a chat's answer, a task, and the first 500 prices and feed
// items. They are made in no time by the real backend.
func demoStreams(t *testing.T) map[string][][]byte {
	streams := make(map[string][][]byte)
	synctest.Test(t, func(t *testing.T) {
		conn := dialDemo(t)
		task, err := tasksv1.NewTaskServiceClient(conn).StartTask(t.Context(), &tasksv1.StartTaskRequest{Title: "Release 1.2"})
		if err != nil {
			t.Fatal(err)
		}
		streams["task"] = collect(t, tasksv1.NewTaskServiceClient(conn).WatchTask, &tasksv1.WatchTaskRequest{TaskId: task.GetTask().GetTaskId()})
		streams["chat"] = collect(t, chatv1.NewChatServiceClient(conn).Complete, &chatv1.CompleteRequest{Prompt: "What is a cursor?"})
		streams["prices"] = collect(t, pricesv1.NewPriceServiceClient(conn).WatchPrices, &pricesv1.WatchPricesRequest{})
		streams["feed"] = collect(t, feedv1.NewFeedServiceClient(conn).WatchFeed, &feedv1.WatchFeedRequest{})
	})
	return streams
}

// dialDemo starts a demo backend and connects to it.
func dialDemo(t *testing.T) *grpc.ClientConn {
	ln := bufconn.Listen(64 << 10)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	// A bubble's clock begins in 2000, when there were no prices.
	now := func() time.Time { return time.Now().AddDate(27, 0, 0) }
	go func() { served <- demo.NewServer(demo.Options{Now: now}).Serve(ctx, ln) }()
	conn, err := grpc.NewClient("passthrough:demo", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		<-served
	})
	return conn
}

const maxCollected = 500

// collect makes frames of a call's messages.
func collect[Req any, Res any, M interface {
	*Res
	proto.Message
}](t *testing.T, call func(context.Context, *Req, ...grpc.CallOption) (grpc.ServerStreamingClient[Res], error), request *Req) [][]byte {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := call(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	output := M(new(Res)).ProtoReflect().Descriptor()
	method := &schema.Method{Name: "demo.v1.Demo.Watch", Output: output}
	if output.Oneofs().Len() == 1 {
		method.Stream.Event.Oneof = output.Oneofs().Get(0)
	}
	encoder := transcode.NewEncoder(method)
	mark, position := event.NewMark(), event.Position(time.Now().UnixMicro())
	var frames [][]byte
	for len(frames) < maxCollected {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%T: after %d messages: %v", request, len(frames), err)
		}
		wire, err := proto.Marshal(M(m))
		if err != nil {
			t.Fatal(err)
		}
		position++
		frames = append(frames, encoder.AppendFrame(nil, event.At(position, mark), wire))
	}
	if len(frames) < 10 {
		t.Errorf("%T: only %d messages", request, len(frames))
	}
	return frames
}
