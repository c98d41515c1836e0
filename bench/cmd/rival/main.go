// Command rival is one of the plain Go programs that the benchmark measures the bridge beside: rival NAME. It serves on
// the listening socket that it inherits as descriptor 3, and ends at SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/grpc-sse/grpc-sse/bench/internal/baseline"
	"github.com/grpc-sse/grpc-sse/bench/internal/gateway"
	"github.com/grpc-sse/grpc-sse/bench/internal/kernel"
)

// inherited is the descriptor of the listening socket.
const inherited = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rival:", err)
		os.Exit(1)
	}
}

// serving are the programs by name.
var serving = map[string]func(context.Context, *os.File, options) error{
	"go-channels": func(ctx context.Context, f *os.File, o options) error {
		return serveHTTP(ctx, f, o, baseline.NewChannels())
	},
	"go-ring": func(ctx context.Context, f *os.File, o options) error {
		return serveHTTP(ctx, f, o, baseline.NewRing())
	},
	"grpc-gateway": func(ctx context.Context, f *os.File, o options) error {
		return serveGateway(ctx, f, o)
	},
	"kernel":      func(ctx context.Context, f *os.File, _ options) error { return kernel.Serve(ctx, f, 1) },
	"kernel-join": func(ctx context.Context, f *os.File, _ options) error { return kernel.Serve(ctx, f, kernel.MostJoined) },
}

type options struct {
	backend string // of grpc-gateway: HOST:PORT
	tls     bool
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("rival", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.StringVar(&o.backend, "backend", "", "of grpc-gateway: the gRPC server's `HOST:PORT`")
	flags.BoolVar(&o.tls, "tls", false, "serve TLS with a certificate made now")
	if err := flags.Parse(args); err != nil {
		return err
	}
	serve, ok := serving[flags.Arg(0)]
	if !ok || flags.NArg() != 1 {
		return fmt.Errorf("usage: rival [flags] NAME; got %q", strings.Join(args, " "))
	}
	return serve(ctx, os.NewFile(inherited, "listener"), o)
}

func serveGateway(ctx context.Context, socket *os.File, o options) error {
	handler, closing, err := gateway.New(ctx, o.backend)
	if err != nil {
		return err
	}
	return errors.Join(serveHTTP(ctx, socket, o, handler), closing())
}

// serveHTTP serves HTTP/1.1 and HTTP/2, with or without TLS, until ctx ends.
func serveHTTP(ctx context.Context, socket *os.File, o options, handler http.Handler) error {
	listener, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("the listening socket: %w", err)
	}
	if err := socket.Close(); err != nil {
		return err
	}
	return baseline.Serve(ctx, listener, handler, o.tls)
}
