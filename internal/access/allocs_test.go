//go:build !race

// With the race detector on, pools forget at random, on purpose.

package access_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

// A key allocates nothing: every connect to a shared stream makes one.
func TestKeyDoesNotAllocate(t *testing.T) {
	k := access.NewKeyer(nil)
	canonical := []byte("canonical")
	if n := testing.AllocsPerRun(100, func() { k.Key("pkg.Service.Method", [32]byte{1}, canonical, nil, nil) }); n >= 1 {
		t.Errorf("a key allocates %v times, want 0", n)
	}
}
