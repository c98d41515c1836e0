package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ordinary is a response that net/http writes: HTTP/2, and whatever cannot be taken over.
type ordinary struct {
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	timeout time.Duration

	// stalled goes off when a write has taken too long. A deadline set for every write would do the same, but over HTTP/2
	// each is a message to another goroutine, and costs more than the write.
	stalled *time.Timer
	mu      sync.Mutex // makes close wait for stalled, which must not use control afterwards
	closed  bool
}

func newOrdinary(w http.ResponseWriter, r *http.Request, control *http.ResponseController, timeout time.Duration) *ordinary {
	o := &ordinary{w: w, r: r, control: control, timeout: timeout}
	o.stalled = time.AfterFunc(timeout, o.giveUp)
	o.stalled.Stop()
	return o
}

// giveUp makes the write under way fail. Writers without deadlines (a recorder) have no slow clients either.
func (o *ordinary) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		_ = o.control.SetWriteDeadline(time.Now().Add(-time.Second))
	}
}

func (o *ordinary) start(body []byte) error {
	_ = o.control.SetWriteDeadline(time.Time{}) // the server's own
	o.w.WriteHeader(http.StatusOK)
	return o.write(body)
}

func (o *ordinary) write(frames []byte) error {
	defer o.stalled.Stop()
	for part := range slices.Chunk(frames, maxWrite) {
		o.stalled.Reset(o.timeout)
		if _, err := o.w.Write(part); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	o.stalled.Reset(o.timeout)
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

func (o *ordinary) gone() <-chan struct{} { return o.r.Context().Done() }

func (o *ordinary) close(cleanly bool) {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	if !cleanly && o.r.Context().Err() == nil {
		// Ends the response so that the client sees it cut, not ended.
		panic(http.ErrAbortHandler)
	}
}
