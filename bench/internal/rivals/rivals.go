// Package rivals is what the bridge is measured beside.
package rivals

import "github.com/grpc-sse/grpc-sse/bench/internal/target"

// Makers are all rivals, in the order in which they are shown.
func Makers() []target.Maker { return nil }
