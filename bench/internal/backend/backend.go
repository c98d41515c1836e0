// Package backend is the gRPC service behind the program under test. It runs in the benchmark's own process, so that
// publisher and subscribers read one clock.
package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	benchv1 "github.com/grpc-sse/grpc-sse/bench/gen/bench/v1"
	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

// ErrNobody is the error of publishing to a stream that has no call.
var ErrNobody = errors.New("no call is open")

// Server is the backend.
type Server struct {
	benchv1.UnimplementedEventServiceServer
	grpc    *grpc.Server
	addr    string
	serving sync.WaitGroup

	mu      sync.Mutex
	streams map[string]*stream
}

// stream is what the calls of one name have in common.
type stream struct {
	mu    sync.Mutex
	calls []*call
	event benchv1.Event
}

type call struct {
	grpc.ServerStreamingServer[benchv1.Event]
}

// Start serves on a free port of 127.0.0.1.
func Start(ctx context.Context) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{grpc: grpc.NewServer(), addr: l.Addr().String(), streams: make(map[string]*stream)}
	benchv1.RegisterEventServiceServer(s.grpc, s)
	s.serving.Go(func() { _ = s.grpc.Serve(l) }) // it ends by Stop
	return s, nil
}

// Addr is where it serves, HOST:PORT.
func (s *Server) Addr() string { return s.addr }

// Stop ends all calls and waits for them.
func (s *Server) Stop() {
	s.grpc.Stop()
	s.serving.Wait()
}

func (s *Server) stream(name string) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil {
		st = new(stream)
		s.streams[name] = st
	}
	return st
}

// Calls is how many calls are open for a stream.
func (s *Server) Calls(name string) int {
	st := s.stream(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.calls)
}

// Publish sends an event to all calls of a stream. It waits when one takes no more.
func (s *Server) Publish(ctx context.Context, name string, payload []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	seq, sent, pad, ok := event.Parse(payload)
	if !ok {
		return fmt.Errorf("stream %s: %.80q is no event", name, payload)
	}
	st := s.stream(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.calls) == 0 {
		return fmt.Errorf("stream %s: %w", name, ErrNobody)
	}
	// Send has encoded the event when it returns.
	st.event.Seq, st.event.Sent, st.event.Pad = seq, sent, string(pad)
	for _, c := range st.calls {
		if err := c.Send(&st.event); err != nil && c.Context().Err() == nil { // it may just have ended
			return fmt.Errorf("stream %s, event %d: %w", name, seq, err)
		}
	}
	return nil
}

// WatchLive implements EventService.
func (s *Server) WatchLive(r *benchv1.WatchRequest, out grpc.ServerStreamingServer[benchv1.Event]) error {
	return s.watch(r, out)
}

// WatchKept implements EventService.
func (s *Server) WatchKept(r *benchv1.WatchRequest, out grpc.ServerStreamingServer[benchv1.Event]) error {
	return s.watch(r, out)
}

// WatchOwn implements EventService.
func (s *Server) WatchOwn(r *benchv1.WatchRequest, out grpc.ServerStreamingServer[benchv1.Event]) error {
	return s.watch(r, out)
}

func (s *Server) watch(r *benchv1.WatchRequest, out grpc.ServerStreamingServer[benchv1.Event]) error {
	st := s.stream(r.GetStream())
	c := &call{out}
	if err := st.join(r, c); err != nil {
		return err
	}
	<-out.Context().Done()
	st.leave(c) // before the handler returns: nothing may be sent after it
	return context.Cause(out.Context())
}

// join sends the call's head; what is published from then on reaches it.
func (st *stream) join(r *benchv1.WatchRequest, c *call) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := c.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	if r.GetHello() {
		if err := c.Send(&benchv1.Event{}); err != nil {
			return err
		}
	}
	st.calls = append(st.calls, c)
	return nil
}

// leave forgets a call that has ended.
func (st *stream) leave(c *call) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i, other := range st.calls {
		if other == c {
			last := len(st.calls) - 1
			st.calls[i], st.calls = st.calls[last], st.calls[:last]
			return
		}
	}
}
