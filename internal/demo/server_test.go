package demo_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/grpc-sse/grpc-sse/internal/demo"
	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a demo server in memory, with fake time.
type backend struct {
	*grpc.ClientConn
	stop    func() error // stops the server and returns what Serve returned
	skipped atomic.Int64 // how far the backend's clock is ahead of now, in nanoseconds
}

// now is the time in a bubble, where it begins in the year 2000, moved to where the prices have begun.
func now() time.Time { return time.Now().Add(27 * 365 * 24 * time.Hour) }

// inBubble runs test with a backend in a synctest bubble: its streams take no time.
func inBubble(t *testing.T, test func(t *testing.T, b *backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 20)
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		served := make(chan error, 1) // one slot, so that Serve can end when nobody waits any more
		b := &backend{}
		clock := func() time.Time { return now().Add(time.Duration(b.skipped.Load())) }
		go func() { served <- demo.NewServer(demo.Options{Now: clock}).Serve(ctx, l) }()
		conn, err := grpc.NewClient("passthrough:///demo",
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		b.ClientConn, b.stop = conn, func() error {
			cancel()
			err := <-served
			served <- err
			return err
		}
		test(t, b)
		_ = conn.Close()
		if err := b.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// all reads a stream to its end, but no more than limit messages.
func all[M any](t *testing.T, limit int, open func(ctx context.Context) (grpc.ServerStreamingClient[M], error)) ([]*M, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := open(ctx)
	if err != nil {
		return nil, err
	}
	var got []*M
	for len(got) < limit {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, m)
	}
	return got, nil
}

func (b *backend) chat(t *testing.T, r *chatv1.CompleteRequest) ([]*chatv1.CompleteResponse, error) {
	return all(t, 10_000, func(ctx context.Context) (grpc.ServerStreamingClient[chatv1.CompleteResponse], error) {
		return chatv1.NewChatServiceClient(b).Complete(ctx, r)
	})
}

func (b *backend) prices(t *testing.T, limit int, r *pricesv1.WatchPricesRequest) ([]*pricesv1.WatchPricesResponse, error) {
	return all(t, limit, func(ctx context.Context) (grpc.ServerStreamingClient[pricesv1.WatchPricesResponse], error) {
		return pricesv1.NewPriceServiceClient(b).WatchPrices(ctx, r)
	})
}

func (b *backend) feed(t *testing.T, limit int, r *feedv1.WatchFeedRequest) ([]*feedv1.WatchFeedResponse, error) {
	return all(t, limit, func(ctx context.Context) (grpc.ServerStreamingClient[feedv1.WatchFeedResponse], error) {
		return feedv1.NewFeedServiceClient(b).WatchFeed(ctx, r)
	})
}

func (b *backend) watch(t *testing.T, id string) ([]*tasksv1.WatchTaskResponse, error) {
	return all(t, 10_000, func(ctx context.Context) (grpc.ServerStreamingClient[tasksv1.WatchTaskResponse], error) {
		return tasksv1.NewTaskServiceClient(b).WatchTask(ctx, &tasksv1.WatchTaskRequest{TaskId: id})
	})
}

// numbered checks that messages count from 1 without a gap.
func numbered[M interface{ GetSequence() uint32 }](t *testing.T, messages []M) {
	t.Helper()
	for i, m := range messages {
		if want := uint32(i + 1); m.GetSequence() != want {
			t.Fatalf("message %d has sequence %d", want, m.GetSequence())
		}
	}
}

func TestBadRequests(t *testing.T) {
	long := string(make([]rune, 2001))
	interval := durationpb.New(time.Hour)
	inBubble(t, func(t *testing.T, b *backend) {
		chat := func(r *chatv1.CompleteRequest) error { _, err := b.chat(t, r); return err }
		start := func(r *tasksv1.StartTaskRequest) error {
			_, err := tasksv1.NewTaskServiceClient(b).StartTask(t.Context(), r)
			return err
		}
		prices := func(r *pricesv1.WatchPricesRequest) error { _, err := b.prices(t, 1, r); return err }
		feed := func(r *feedv1.WatchFeedRequest) error { _, err := b.feed(t, 1, r); return err }
		for _, test := range []struct {
			field string
			err   error
		}{
			{"prompt", chat(&chatv1.CompleteRequest{Prompt: " "})},
			{"prompt", chat(&chatv1.CompleteRequest{Prompt: long})},
			{"tokens_per_second", chat(&chatv1.CompleteRequest{Prompt: "x", TokensPerSecond: 1001})},
			{"max_tokens", chat(&chatv1.CompleteRequest{Prompt: "x", MaxTokens: 4001})},
			{"fault", chat(&chatv1.CompleteRequest{Prompt: "x", Fault: 99})},
			{"title", start(&tasksv1.StartTaskRequest{})},
			{"title", start(&tasksv1.StartTaskRequest{Title: long})},
			{"steps", start(&tasksv1.StartTaskRequest{Title: "x", Steps: 21})},
			{"duration_ms", start(&tasksv1.StartTaskRequest{Title: "x", DurationMs: 99})},
			{"duration_ms", start(&tasksv1.StartTaskRequest{Title: "x", DurationMs: 600_001})},
			{"fail_at_step", start(&tasksv1.StartTaskRequest{Title: "x", Steps: 2, FailAtStep: 3})},
			{"symbols", prices(&pricesv1.WatchPricesRequest{Symbols: []string{"ACME", "NONE"}})},
			{"interval", prices(&pricesv1.WatchPricesRequest{Interval: interval})},
			{"interval", prices(&pricesv1.WatchPricesRequest{Interval: &durationpb.Duration{Nanos: -1}})},
			{"interval", feed(&feedv1.WatchFeedRequest{Interval: &durationpb.Duration{Seconds: 1, Nanos: -1}})},
		} {
			var fields []string
			for _, d := range status.Convert(test.err).Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					fields = append(fields, bad.GetFieldViolations()[0].GetField())
				}
			}
			if status.Code(test.err) != codes.InvalidArgument || !slices.Equal(fields, []string{test.field}) {
				t.Errorf("%s: got %v with fields %v, want INVALID_ARGUMENT", test.field, test.err, fields)
			}
		}
	})
}

func TestHealth(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		for _, service := range []string{"", "demo.chat.v1.ChatService", "demo.feed.v1.FeedService"} {
			got, err := healthv1.NewHealthClient(b).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Errorf("health of %q: %v, %v", service, got, err)
			}
		}
	})
}

//nolint:staticcheck // v1alpha is deprecated, but there are clients that speak nothing else
func TestReflection(t *testing.T) {
	want := []string{
		"demo.chat.v1.ChatService", "demo.feed.v1.FeedService", "demo.prices.v1.PriceService", "demo.tasks.v1.TaskService",
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
	}
	inBubble(t, func(t *testing.T, b *backend) {
		v1, err := reflectionv1.NewServerReflectionClient(b).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list := &reflectionv1.ServerReflectionRequest_ListServices{}
		if err := v1.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: list}); err != nil {
			t.Fatal(err)
		}
		got, err := v1.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range got.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		slices.Sort(names)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
		v1alpha, err := reflectionv1alpha.NewServerReflectionClient(b).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		symbol := &reflectionv1alpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: want[0]}
		if err := v1alpha.Send(&reflectionv1alpha.ServerReflectionRequest{MessageRequest: symbol}); err != nil {
			t.Fatal(err)
		}
		if old, err := v1alpha.Recv(); err != nil || len(old.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("v1alpha: %v, %v", old, err)
		}
	})
}

// A stream that never ends by itself must not hold up the end of the server.
func TestStopEndsStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		stream, err := feedv1.NewFeedServiceClient(b).WatchFeed(t.Context(), &feedv1.WatchFeedRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := b.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "the server is stopping" {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestServeReportsABrokenListener(t *testing.T) {
	l := bufconn.Listen(1)
	_ = l.Close()
	if err := demo.NewServer(demo.Options{}).Serve(t.Context(), l); err == nil {
		t.Error("no error")
	}
}
