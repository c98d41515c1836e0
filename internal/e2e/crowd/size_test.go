//go:build unix && !race

package crowd_test

const (
	usualClients = 10_000
	raceDetector = false
)
