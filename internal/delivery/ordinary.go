package delivery

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ordinary is a response that net/http writes: HTTP/2, and whatever cannot be taken over.
type ordinary struct {
	w       http.ResponseWriter
	r       *http.Request
	control http.ResponseController
	// stall stands for a deadline set for every write: over HTTP/2 each would be a message to another goroutine, and cost
	// more than the write.
	stall   stall
	unwatch func() bool
}

func newOrdinary(w http.ResponseWriter, r *http.Request, control *http.ResponseController, timeout time.Duration) *ordinary {
	o := &ordinary{w: w, r: r, control: *control}
	o.stall.init(timeout, o.giveUp)
	return o
}

// giveUp makes the write under way fail. Writers without deadlines (a recorder) have no slow clients either.
func (o *ordinary) giveUp() { _ = o.control.SetWriteDeadline(time.Now().Add(-time.Second)) }

func (o *ordinary) start(body []byte) error {
	_ = o.control.SetWriteDeadline(time.Time{}) // the server's own
	o.w.WriteHeader(http.StatusOK)
	return o.write(body)
}

func (o *ordinary) write(frames []byte) error {
	defer o.stall.end()
	for part := range slices.Chunk(frames, maxWrite) {
		o.stall.begin()
		if _, err := o.w.Write(part); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	o.stall.begin()
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

func (o *ordinary) onGone(f func()) { o.unwatch = context.AfterFunc(o.r.Context(), f) }

func (o *ordinary) close(cleanly bool) {
	o.stall.stop()
	o.unwatch()
	switch {
	case cleanly:
	case o.r.Context().Err() == nil:
		// Ends the response so that the client sees it cut, not ended.
		panic(http.ErrAbortHandler)
	case o.r.ProtoMajor == 1:
		// It is taken for gone, but may have closed its own half alone, and still read: net/http would write the body's end.
		if conn, _, err := o.control.Hijack(); err == nil {
			reset(conn)
		}
	}
}
