//go:build !race

package eventlogtest

// How large the crowd is.
const (
	crowdEvents  = 1_000_000
	crowdReaders = 1000
)
