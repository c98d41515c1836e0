// Package delivery moves finished frames from a subscription to a client's connection: head and first frame, then what
// there is to send, heartbeats while there is nothing, a deadline for every write, and a clean end at a maximum age.
//
// A plain HTTP/1 connection is taken over from net/http and written to directly, close-delimited, so that a frame goes
// to the kernel in one call and HTTP/1.0 proxies understand it too. Everything else goes through the ResponseWriter.
package delivery

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// maxWrite is how many bytes are taken from the log for one write, unless one frame is longer.
const maxWrite = 64 << 10

// Reconnection delays drawn for each connection, so that clients of a bridge that went away do not come back all at once.
const (
	minRetry = 2 * time.Second
	maxRetry = 4 * time.Second
)

// heartbeat is a comment: every reader ignores it.
var heartbeat = []byte(":\n\n")

// Source is what a connection is fed from. A *feed.Subscription is one.
type Source interface {
	// Opening appends the first frames of the response.
	Opening(dst []byte, retry time.Duration) []byte
	// Next returns the next finished frames, nothing where there is nothing yet, io.EOF at the end.
	Next(limit int) ([]byte, error)
	// Written says that what Next returned last has been written.
	Written()
	// Changed returns a channel that is closed when Next or Waiting may answer otherwise.
	Changed() <-chan struct{}
	// Waiting returns the frame that says that the backend cannot be reached, and the number of the outage; 0 for none.
	Waiting() (frame []byte, outage int)
	// Ageless reports that the connection must not be ended because of its age.
	Ageless() bool
}

// Options say how connections are kept.
type Options struct {
	// Heartbeat is the pause before a comment is sent on a quiet connection; it is varied by 20 %.
	Heartbeat time.Duration
	// WriteTimeout is how long one write may take before the connection is reset.
	WriteTimeout time.Duration
	// MaxAge is how long a connection lives before it is ended cleanly; it is varied by 20 %.
	MaxAge time.Duration
}

// errGone: the client went away.
var errGone = errors.New("delivery: the client has gone")

// stream is a response body under way.
type stream interface {
	// start sends the head and the first bytes of the body.
	start(body []byte) error
	// write sends finished frames, all or none: after an error the stream can only be closed.
	write(frames []byte) error
	// gone is closed when the client has left.
	gone() <-chan struct{}
	// close ends the response; cleanly says that everything was written and the client may take the end for one.
	close(cleanly bool)
}

// Serve sends the response: the SSE head with the headers that w has already, then what src has to say. It returns when
// the response has ended: nil for a clean end, an error where the client left or could not be written to. The request's
// body must have been read.
func Serve(w http.ResponseWriter, r *http.Request, src Source, o Options) error {
	setHead(w.Header())
	out, err := open(w, r, o.WriteTimeout)
	if err != nil {
		return err
	}
	clean := false
	defer func() { out.close(clean) }() // after a panic, too: nobody else closes a connection that was taken over
	err = serve(out, src, o)
	clean = err == nil
	return err
}

func serve(out stream, src Source, o Options) error {
	if err := out.start(src.Opening(nil, minRetry+rand.N(maxRetry-minRetry))); err != nil {
		return err
	}
	told := 0 // the outage that the client has been told of
	beat := time.NewTimer(vary(o.Heartbeat))
	defer beat.Stop()
	var age <-chan time.Time
	if !src.Ageless() {
		timer := time.NewTimer(vary(o.MaxAge))
		defer timer.Stop()
		age = timer.C
	}
	for {
		select {
		case <-age:
			return nil
		case <-out.gone():
			return errGone
		default:
		}
		// The channel is taken before the look, so that nothing comes unseen between look and wait.
		changed := src.Changed()
		frames, err := src.Next(maxWrite)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		waiting, outage := src.Waiting()
		if len(frames) == 0 && outage != told && outage != 0 {
			frames, told = waiting, outage
		}
		if len(frames) == 0 {
			select {
			case <-changed:
				continue
			case <-age:
				return nil
			case <-out.gone():
				return errGone
			case <-beat.C:
				frames = heartbeat
				if outage != 0 {
					frames = waiting
				}
			}
		}
		if err := out.write(frames); err != nil {
			return err
		}
		src.Written()
		beat.Reset(vary(o.Heartbeat))
	}
}

// Head writes the head alone, as HEAD asks for it.
func Head(w http.ResponseWriter) {
	setHead(w.Header())
	w.WriteHeader(http.StatusOK)
}

// Once sends a response that consists of body alone.
func Once(w http.ResponseWriter, body []byte) error {
	setHead(w.Header())
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}

// setHead sets the headers of an SSE response. The first two keep caches and proxies from changing or holding it,
// X-Accel-Buffering nginx in particular.
func setHead(h http.Header) {
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// vary draws from d - 20 % to d + 20 %.
func vary(d time.Duration) time.Duration {
	spread := d / 5
	if spread <= 0 {
		return d
	}
	return d - spread + rand.N(2*spread)
}

// open takes the connection over where it can be, else answers through w.
func open(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) (stream, error) {
	if r.ProtoMajor != 1 {
		return &ordinary{w: w, r: r, control: http.NewResponseController(w), timeout: writeTimeout}, nil
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return &ordinary{w: w, r: r, control: http.NewResponseController(w), timeout: writeTimeout}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: taking over the connection: %w", err)
	}
	return newHijacked(conn, buffered, w.Header(), r, writeTimeout), nil
}
