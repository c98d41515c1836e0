// Package rivals is what the bridge is measured beside: other programs that deliver streams, plain Go, and the limit.
package rivals

import (
	"fmt"

	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// Names of targets.
const (
	Nchan      = "nchan"
	Gateway    = "grpc-gateway"
	Channels   = "go-channels"
	Ring       = "go-ring"
	Kernel     = "kernel"
	KernelJoin = "kernel-join"
)

// Makers are all rivals, in the order in which they are shown.
func Makers() []target.Maker {
	return []target.Maker{
		{Name: Nchan, Missing: nchanMissing, New: newNchan},
		{Name: Gateway, New: newGateway},
		{Name: Channels, New: plain(Channels, target.Fanout, target.SlowReaders, target.HTTP2, target.TLS)},
		{Name: Ring, New: plain(Ring, target.Fanout, target.SlowReaders, target.CatchUp, target.HTTP2, target.TLS)},
		{Name: Kernel, New: plain(Kernel, target.Fanout)},
		{Name: KernelJoin, New: plain(KernelJoin, target.Fanout)},
	}
}

// get is a subscriber's request.
func get(path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n", path)
}
