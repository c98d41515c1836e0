// Command scriptd serves a script.Backend for tests that need a backend in a process of its own. It prints its address
// on the first line, and ends on SIGINT, SIGTERM, or when its standard input ends (so that it never outlives its test).
//
// One that was killed and is started again with the same flags, -listen with the address that it printed, has the same
// logs at the same time: each -log gives its `begin`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/protobuf/encoding/protojson"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "scriptd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("scriptd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:0", "address to serve gRPC on")
	b := script.New()
	flags.BoolVar(&b.Principals, "principals", false, "serve PrincipalService, too")
	flags.Func("log", "`definition` of a log, a demo.script.v1.Log as JSON; may be given several times", func(text string) error {
		def := &scriptv1.Log{}
		if err := protojson.Unmarshal([]byte(text), def); err != nil {
			return err
		}
		return b.DefineLog(def)
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, l.Addr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		cancel()
	}()
	return b.Serve(ctx, l)
}
