// Package demo is the example that users copy: a small gRPC backend whose methods say by their options how they are
// served as events. Package page shows its streams in a browser.
//
// Nothing in it is random: the same requests at the same times give the same answers.
package demo

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
)

// stopWithin is how long calls may take to end when the server stops. They are told to, so they take no time, unless a
// client does not read.
const stopWithin = 2 * time.Second

// Options are how the demo backend behaves. The zero value is right for everything but tests.
type Options struct {
	// Now is the clock that prices, tasks and time stamps follow. Default time.Now.
	Now func() time.Time
}

// Server is the demo backend: chat, tasks, prices and a feed, with reflection (v1 and v1alpha) and health.
type Server struct {
	grpc   *grpc.Server
	health *health.Server
	stop   context.CancelCauseFunc
}

// NewServer returns a Server that does not serve yet.
func NewServer(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	running, stop := context.WithCancelCause(context.Background())
	s := &Server{
		health: health.NewServer(),
		stop:   stop,
		grpc:   grpc.NewServer(grpc.WaitForHandlers(true), grpc.StreamInterceptor(endWith(running))),
	}
	chatv1.RegisterChatServiceServer(s.grpc, &chatServer{})
	tasksv1.RegisterTaskServiceServer(s.grpc, newTaskServer(o.Now))
	pricesv1.RegisterPriceServiceServer(s.grpc, &priceServer{now: o.Now})
	feedv1.RegisterFeedServiceServer(s.grpc, &feedServer{now: o.Now})
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s
}

// Serve serves on l until ctx ends, then tells running calls to end (UNAVAILABLE) and waits for them. It closes l. The
// error is nil when ctx ended it. A Server serves once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.health.Shutdown()
		s.stop(status.Error(codes.Unavailable, "the server is stopping"))
		hard := time.AfterFunc(stopWithin, s.grpc.Stop)
		defer hard.Stop()
		s.grpc.GracefulStop()
	})
	err := s.grpc.Serve(l)
	if unhook() { // not ended by ctx
		s.stop(err)
		s.grpc.Stop()
		return err
	}
	<-stopped
	return nil
}

// endWith ends the context of every stream when running ends, with its cause: a stream that never ends by itself would
// otherwise hold up a graceful stop for ever.
func endWith(running context.Context) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		ctx, cancel := context.WithCancelCause(stream.Context())
		defer cancel(nil)
		unhook := context.AfterFunc(running, func() { cancel(context.Cause(running)) })
		defer unhook()
		return next(srv, &endedStream{stream, ctx})
	}
}

type endedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context ends with the call or with the server, whichever is first.
func (s *endedStream) Context() context.Context { return s.ctx }
