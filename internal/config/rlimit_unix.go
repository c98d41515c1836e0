//go:build unix

package config

import (
	"math"
	"syscall"
)

// openFiles is how many files this process may open. The Go runtime raised the soft limit to the hard one at start.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	//nolint:unconvert // the type of Cur differs between systems
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
