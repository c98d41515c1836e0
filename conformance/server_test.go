package conformance_test

import (
	"context"
	"net"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// server is a server of the backend that can be stopped and started again at the same address.
type server struct {
	backend *script.Backend
	address string // of the first start

	grpc   *grpc.Server // nil while it is stopped
	served chan error
}

func (s *server) start() error {
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", address)
	if err != nil {
		return err
	}
	s.address = listener.Addr().String()
	server, served := s.backend.NewServer(), make(chan error, 1)
	testgrpc.RegisterTestServiceServer(server, testgrpc.UnimplementedTestServiceServer{}) // it has methods that stream requests
	s.grpc, s.served = server, served
	go func() { served <- server.Serve(listener) }()
	return nil
}

// stop ends the server and all of its calls; nothing where it does not run.
func (s *server) stop() error {
	if s.grpc == nil {
		return nil
	}
	s.grpc.Stop()
	s.grpc = nil
	return <-s.served
}

func (s *server) toggle(up bool) error {
	if up {
		return s.start()
	}
	return s.stop()
}
