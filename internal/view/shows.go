package view

import "github.com/grpc-sse/grpc-sse/internal/sse"

// Shows reports whether a reader is shown anything of finished frames, or told of something in them that is missing. A
// stream's end does not count.
func (o Options) Shows(frames []byte) bool {
	filter := newFilter(o.Events)
	for len(frames) != 0 {
		var f sse.Frame
		var ok bool
		if f, frames, ok = sse.CutFrame(frames); !ok {
			return true
		}
		k := kindOf(&f)
		if k == kindReset || k == kindUndecodable || k == kindEvent && !filter.hides(f.Event) {
			return true
		}
	}
	return false
}
