package render_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// Programs are made, and learn of extensions and of what is in an Any, while others use them.
func TestProgramsAreConcurrent(t *testing.T) {
	all, types := conformanceMessages(t)
	for _, md := range all {
		g := newWireMaker(rand.New(rand.NewPCG(1, 5)), md.ParentFile(), types)
		ref := reference{md: md, types: types}
		var wires [][]byte
		var wants []string
		for len(wires) < 20 {
			wire := g.message(md, 3)
			if want, reason := ref.ask(wire); reason == "" {
				wires, wants = append(wires, wire), append(wants, string(want))
			}
		}
		program := render.NewTypes(types).Program(md)
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				for i := range 5 * len(wires) {
					which := (i*(n+1) + n) % len(wires)
					if got, reason := ref.rendered(program, wires[which]); string(got) != wants[which] {
						t.Errorf("got %s %s, want %s", got, reason, wants[which])
						return
					}
				}
			})
		}
		wg.Wait()
	}
}
