// Package delivery moves finished frames from a subscription to a client's connection: head and first frame, then what
// there is to send, heartbeats while there is nothing, a deadline for every write, and a clean end at a maximum age.
//
// A plain HTTP/1 connection is taken over from net/http and written to directly, close-delimited, so that a frame goes
// to the kernel in one call and HTTP/1.0 proxies understand it too. Everything else goes through the ResponseWriter.
package delivery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// maxWrite is how many bytes are taken from the log for one write, unless one frame is longer. Such a frame is written in
// parts of this size, so that a client on a slow link is given up only when it takes none of it for long.
const maxWrite = 64 << 10

// Reconnection delays drawn for each connection, so that clients of a bridge that went away do not come back all at once.
// A client that polls comes back as a matter of course.
const (
	minRetry     = 2 * time.Second
	maxRetry     = 4 * time.Second
	minPollRetry = 500 * time.Millisecond
	maxPollRetry = time.Second
)

// Source is what a connection is fed from. A *view.View is one.
type Source interface {
	// Opening appends the first bytes of the response.
	Opening(dst []byte, retry time.Duration) []byte
	// Next returns the next bytes, nothing where there is nothing yet, io.EOF at the end, and any other error where the
	// response must be cut.
	Next(limit int) ([]byte, error)
	// Written says that what Next returned last has been written.
	Written()
	// Changed returns a channel that is closed when Next or Waiting may answer otherwise.
	Changed() <-chan struct{}
	// Waiting returns what says that the backend cannot be reached, and the number of the outage; 0 for none.
	Waiting() (frame []byte, outage int)
	// Beat appends what is sent on a quiet connection. It may be nothing.
	Beat(dst []byte) []byte
	// Leave appends what is said before the connection is ended here, for a reason of the contract's stream.busy, or for
	// none (""). After an error the response must be cut: what Leave returned is not sent.
	Leave(dst []byte, reason string) ([]byte, error)
	// Ageless reports that the connection must not be ended because of its age.
	Ageless() bool
}

// Options say how a connection is kept and in which form.
type Options struct {
	// Heartbeat is the pause before a beat is sent on a quiet connection; it is varied by 20 %.
	Heartbeat time.Duration
	// WriteTimeout is how long a write of up to 64 KiB may take before the connection is reset.
	WriteTimeout time.Duration
	// MaxAge is how long a connection lives before it is ended cleanly; it is varied by 20 %.
	MaxAge time.Duration
	// ContentType is the response's, default text/event-stream. Any other response is sent so that a cut shows: in chunks
	// over HTTP/1.1.
	ContentType string
	// TypeOf is set for a response whose Content-Type its first bytes say: the head waits for them, and is then sent with
	// what TypeOf returns, or application/octet-stream where that is empty. ContentType is not looked at.
	TypeOf func() string
	// Encoding is the content coding: gzip, zstd or br. Default none. See Negotiate.
	Encoding string
	// Wait is how long a poll may take: the response ends cleanly then. 0 is no poll.
	Wait time.Duration
	// Kicked, when closed, ends the connection: its place is needed. nil never does.
	Kicked <-chan struct{}
	// KickReason is the reason that a kicked connection is told, one of stream.busy's.
	KickReason string
	// Progress, if set, is called after each write of events.
	Progress func()
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

// Serve sends the response: the head with the headers that w has already, then what src has to say. It returns when the
// response has ended: nil for a clean end, an error where the client left, could not be written to, or had to be cut off.
// The request's body must have been read.
func Serve(w http.ResponseWriter, r *http.Request, src Source, o Options) error {
	setHead(w.Header(), o)
	out, err := open(w, r, o)
	if err != nil {
		return err
	}
	clean := false
	defer func() { out.close(clean) }() // after a panic, too: nobody else closes a connection that was taken over
	err = newServing(out, src, o).run()
	clean = err == nil
	return err
}

// Head writes the head alone, as HEAD asks for it.
func Head(w http.ResponseWriter, o Options) {
	setHead(w.Header(), o)
	w.WriteHeader(http.StatusOK)
}

// Once sends a response of text/event-stream that consists of body alone.
func Once(w http.ResponseWriter, body []byte) error {
	setHead(w.Header(), Options{})
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}

// isSSE reports whether the response is text/event-stream, which may end with the connection: its readers know an end.
func (o Options) isSSE() bool { return o.ContentType == "" && o.TypeOf == nil }

// setHead sets the headers of a response. Cache-Control and X-Accel-Buffering keep caches and proxies from changing or
// holding it, the second nginx in particular.
func setHead(h http.Header, o Options) {
	switch {
	case o.TypeOf != nil: // known later
	case o.ContentType != "":
		h.Set("Content-Type", o.ContentType)
	default:
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
	}
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	if o.Encoding != "" {
		h.Set("Content-Encoding", o.Encoding)
	}
}

// vary draws from d - 20 % to d + 20 %.
func vary(d time.Duration) time.Duration {
	spread := d / 5
	if spread <= 0 {
		return d
	}
	return d - spread + rand.N(2*spread)
}

// open makes the response's body: the connection itself, where it can be taken over, else what w writes.
func open(w http.ResponseWriter, r *http.Request, o Options) (stream, error) {
	out, err := takeOver(w, r, o)
	if err != nil {
		return nil, err
	}
	if out, err = encode(out, o.Encoding); err != nil {
		return nil, err
	}
	if o.TypeOf != nil {
		return &lateHead{stream: out, header: w.Header(), typeOf: o.TypeOf}, nil
	}
	return out, nil
}

func takeOver(w http.ResponseWriter, r *http.Request, o Options) (stream, error) {
	control := http.NewResponseController(w)
	if r.ProtoMajor != 1 || !o.isSSE() {
		return &ordinary{w: w, r: r, control: control, timeout: o.WriteTimeout}, nil
	}
	conn, buffered, err := control.Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return &ordinary{w: w, r: r, control: control, timeout: o.WriteTimeout}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: taking over the connection: %w", err)
	}
	return newHijacked(conn, buffered, w.Header(), r, o.WriteTimeout), nil
}
