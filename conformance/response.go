package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxBody bounds what is read of a response that is no stream.
const maxBody = 1 << 20

// errTooLate: something did not come in time.
var errTooLate = errors.New("nothing came in time")

// response is one response under way. It is read only when asked: a client that takes nothing holds up the sender.
type response struct {
	status    int
	http2     bool
	head      http.Header
	body      []byte // of a response that is no stream
	presented string // the request's Last-Event-ID

	frames []Frame // so far, heartbeats left out
	rules  invariants

	form    form
	conn    net.Conn // nil where the connection is shared
	chunks  chan chunk
	pending []byte // bytes that are not a whole frame yet
	done    error  // how the body ended; nil while it has not
	cancel  context.CancelFunc
	work    sync.WaitGroup
	idle    func()
}

type chunk struct {
	data []byte
	err  error
}

// isStream reports whether there is a stream to read.
func (r *response) isStream() bool { return r.body == nil }

// close ends the response from the client's side.
func (r *response) close() {
	r.cancel()
	r.work.Wait()
	r.idle()
}

// reset cuts the connection with a reset.
func (r *response) reset() {
	if tcp, ok := r.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the other side sees an orderly end, which is a cut, too
	}
	r.close()
}

// more waits for more bytes. The error is errTooLate, io.EOF for a clean end, or what cut the body.
func (r *response) more(late <-chan time.Time) error {
	if r.done != nil {
		return r.done
	}
	select {
	case c := <-r.chunks:
		r.pending = append(r.pending, c.data...)
		r.done = c.err
		if len(c.data) > 0 {
			return nil
		}
		return c.err
	case <-late:
		return errTooLate
	}
}

// next returns the next frame, heartbeats included.
func (r *response) next(late <-chan time.Time) (Frame, error) {
	for {
		if block, rest, ok := r.form.cut(r.pending); ok {
			r.pending = rest
			f, err := r.form.parse(block)
			if err == nil {
				err = r.rules.add(f)
			}
			if err == nil && !f.IsHeartbeat() {
				r.frames = append(r.frames, f)
			}
			return f, err
		}
		if err := r.more(late); err != nil {
			if errors.Is(err, io.EOF) && len(r.pending) > 0 {
				return Frame{}, fmt.Errorf("the stream ended cleanly inside a frame: %q", r.pending)
			}
			return Frame{}, err
		}
	}
}

// take waits for n bytes more and drops them.
func (r *response) take(n int, late <-chan time.Time) error {
	for len(r.pending) < n {
		if err := r.more(late); err != nil {
			return err
		}
	}
	r.pending = nil
	return nil
}
