//go:build unix && race

package crowd_test

// The race detector makes all of it many times as slow, and finds in this crowd what it would find in a larger one.
const (
	usualClients = 600
	raceDetector = true
)
