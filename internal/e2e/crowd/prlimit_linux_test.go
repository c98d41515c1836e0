package crowd_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// lowerFiles lets a process that runs have no file above the number, and returns what undoes that.
func lowerFiles(t *testing.T, pid, number int) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	lower := unix.Rlimit{Cur: uint64(number), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &lower, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
			t.Error(err)
		}
	}
}
