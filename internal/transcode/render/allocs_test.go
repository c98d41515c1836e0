//go:build !race

// With the race detector on, pools forget at random, on purpose.

package render_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// Nothing is allocated for a message once scratch memory is as large as it needs.
func TestRenderDoesNotAllocate(t *testing.T) {
	for _, s := range samples() {
		program := render.NewTypes(global).Program(s.message.ProtoReflect().Descriptor())
		wire := marshal(t, s.message)
		dst := mustRender(t, program, nil, wire)
		if n := testing.AllocsPerRun(100, func() { dst = mustRender(t, program, dst[:0], wire) }); n != 0 {
			t.Errorf("%s: %v allocations a message, want none", s.name, n)
		}
	}
}
