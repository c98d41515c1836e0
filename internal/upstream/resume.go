package upstream

import (
	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// request returns what opens the call now, and whether it goes on from the backend's cursor.
func (r *run) request() (request []byte, resumed bool) {
	if r.call.Resume != nil {
		if request, ok := r.call.Resume.Request(); ok {
			return request, true
		}
	}
	return r.call.Request, false
}

// isCompacted reports whether the backend refused the cursor at which the call was opened.
func (r *run) isCompacted(o outcome.Outcome) bool {
	return !r.left && r.resumed && r.answered == 0 && o.Compacted()
}

// beginAfresh forgets the cursor that the backend no longer has. Its refusal is not counted as a failure: the call that
// now begins is another, and is refused only once.
func (r *run) beginAfresh() {
	r.call.Resume.Forget()
	r.noteLost()
	r.noteBeginning()
	r.expired, r.lost, r.tried = true, nil, false
}

// see says whether a message is yielded. ignored is the outcome of a call that cannot go on.
func (r *run) see(data []byte) (keep bool, ignored *outcome.Outcome) {
	r.answered++
	if r.call.Resume == nil {
		return true, nil
	}
	switch r.call.Resume.See(data) {
	case cursor.Drop:
		return false, nil
	case cursor.Ignored:
		if !r.resumed || r.answered > 1 {
			return true, nil
		}
		return true, r.restartedByBackend()
	default:
		return true, nil
	}
}

// restartedByBackend notes that the backend ignored the cursor and began the call from its beginning. It returns the
// call's outcome where that must not be.
func (r *run) restartedByBackend() *outcome.Outcome {
	r.resumed = false
	switch {
	case r.lost == nil:
		// It has run once only: the reader came with the cursor, and what it has goes on nowhere.
		r.noteBeginning()
		r.expired = true
	case !r.call.Restart:
		return r.lost
	case r.count == 0:
		// What the reader has came before this iteration.
		r.told(Message{Restarted: r.lost})
		return nil
	}
	r.tellBeginning()
	return nil
}
