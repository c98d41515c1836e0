// Command grpc-sse serves server-streaming gRPC methods as resumable Server-Sent Events.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/grpc-sse/grpc-sse/internal/cli"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // a signal that finds no room is dropped: two are all that count
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel() // the verb ends cleanly: a bridge drains
		<-signals
		os.Exit(1)
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
