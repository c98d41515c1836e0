package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// ordinary is a response that net/http writes: HTTP/2, and whatever cannot be taken over.
type ordinary struct {
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	timeout time.Duration
}

func (o *ordinary) start(body []byte) error {
	o.w.WriteHeader(http.StatusOK)
	return o.write(body)
}

func (o *ordinary) write(frames []byte) error {
	// Writers without deadlines (a recorder) have no slow clients either. The deadline is taken back: HTTP/2 resets a
	// stream when it passes, whether something is being written or not.
	defer func() { _ = o.control.SetWriteDeadline(time.Time{}) }()
	for part := range slices.Chunk(frames, maxWrite) {
		_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
		if _, err := o.w.Write(part); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

func (o *ordinary) gone() <-chan struct{} { return o.r.Context().Done() }

func (o *ordinary) close(cleanly bool) {
	if !cleanly && o.r.Context().Err() == nil {
		// Ends the response so that the client sees it cut, not ended.
		panic(http.ErrAbortHandler)
	}
}
