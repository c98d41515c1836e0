//go:build race

package eventlogtest

// The race detector makes each read some twenty times as slow, and finds in this crowd what it would find in a larger
// one.
const (
	crowdEvents  = 60_000
	crowdReaders = 300
)
