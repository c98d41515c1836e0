package render_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// checkRandom makes a schema from a seed and compares what becomes of messages that were drawn for it, and of the same
// with bytes changed.
func checkRandom(t testing.TB, seed uint64, messages int) (refused int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	fd, types, err := randomSchema(r)
	if err != nil {
		t.Fatal(err)
	}
	g := newWireMaker(r, fd, types)
	all := render.NewTypes(types)
	for i := range messages {
		md := fd.Messages().Get(r.IntN(fd.Messages().Len()))
		ref := reference{md: md, types: types}
		if md.Oneofs().Len() > 0 && r.IntN(3) == 0 {
			if od := md.Oneofs().Get(r.IntN(md.Oneofs().Len())); !od.IsSynthetic() {
				ref.oneof = od
			}
		}
		g.bad = []int{0, 0, 3, 20}[r.IntN(4)]
		wire := g.message(md, 5)
		if len(wire) > 0 && r.IntN(8) == 0 {
			for range 1 + r.IntN(3) {
				wire[r.IntN(len(wire))] ^= 1 << r.IntN(8)
			}
		}
		if r.IntN(20) == 0 {
			wire = wire[:r.IntN(len(wire)+1)]
		}
		ref.name = fmt.Sprintf("schema %d, message %d of %s", seed, i, md.FullName())
		ref.compare(t, all.Program(md), wire)
		ref.compare(t, render.NewTypes(types).Program(md), wire) // which has met nothing yet
		if _, reason := ref.ask(wire); reason != "" {
			refused++
		}
	}
	return refused
}

// Messages of any schema, encoded in any way, become what protobuf's own decoder and protojson make of them, or are
// refused for the same reason.
func TestRandomSchemas(t *testing.T) {
	const schemas, messages = 250, 20
	refused := 0
	for seed := range uint64(schemas) {
		refused += checkRandom(t, seed, messages)
	}
	if share := float64(refused) / (schemas * messages); share < 0.1 || share > 0.6 {
		t.Errorf("%.0f %% of the messages are refused: the test draws too few of one kind", share*100)
	}
}

func FuzzSchemas(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { checkRandom(t, seed, 25) })
}
