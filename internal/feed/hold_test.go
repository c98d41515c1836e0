package feed_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// realBackend is a gRPC server whose every stream is handled so, and what calls it.
func realBackend(t *testing.T, handle grpc.StreamHandler) *upstream.Upstream {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnknownServiceHandler(handle))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	u, err := upstream.New(upstream.Options{Target: "passthrough:///backend", DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// While a full log holds the call back it is not the backend that sends nothing: the idle timeout begins when there is
// room again.
func TestHeldBackIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := realBackend(t, func(_ any, s grpc.ServerStream) error {
			for _, text := range []string{"a", "b"} {
				if err := s.SendMsg(wrapperspb.String(text)); err != nil {
					return err
				}
				time.Sleep(22 * time.Second) // of the bubble's time
			}
			return nil
		})
		w := newWorld(t, func(s *schema.Stream) {
			s.Retention.Bytes = 2 // so that one event fills the log
			s.IdleTimeout = 10 * time.Second
		})
		r := w.subscribe(func(r *feed.Request) { r.Caller = caller })
		time.Sleep(15 * time.Second)
		r.read()
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		r.read()
		r.expect("open \n\x01a \n\x01b")
		time.Sleep(time.Hour)
		synctest.Wait()
		if !r.read() {
			t.Error("the stream has not ended")
		}
	})
}
