// Package delivery moves finished frames from a subscription to a client's connection: head and first frame, then what
// there is to send, heartbeats while there is nothing, a deadline for every write, and a clean end at a maximum age.
//
//	                 ┌─ plain HTTP/1, Linux ─▶ shard: a descriptor; no goroutine, no buffer
//	Server.Serve ────┼─ TLS, compressed ─────▶ serving: a goroutine, over the connection itself (hijacked)
//	                 └─ HTTP/2, chunked ─────▶ serving: a goroutine, through the ResponseWriter (ordinary)
//
// A text/event-stream over HTTP/1 is taken over from net/http and ends with its connection, so that the log's bytes go to
// the kernel as they are, in one call, and HTTP/1.0 proxies understand it too.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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
	// Short says that the client has taken only the first n bytes of what Next returned last. It returns what must be
	// written before Written is called: at least the rest of the frame that was begun, or the next where none was, at most
	// all of it. What it leaves out, Next returns again. The bytes stay good until another method is called.
	Short(frames []byte, n int) (rest []byte)
	// Topic is what to watch for a change of what Next or Waiting answers; nil where they stay as they are. Another one may
	// follow it when Next has returned nothing.
	Topic() Topic
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

// Options say what one response is like.
type Options struct {
	// Owner is who the response is served for. It must be set.
	Owner Owner
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
}

// errGone: the client went away.
var errGone = errors.New("delivery: the client has gone")

// stream is a response body under way.
type stream interface {
	// start sends the head and the first bytes of the body.
	start(body []byte) error
	// write sends finished frames, all or none: after an error the stream can only be closed.
	write(frames []byte) error
	// onGone has f called when the client has left.
	onGone(f func())
	// close ends the response; cleanly says that everything was written and the client may take the end for one.
	close(cleanly bool)
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

// Values of headers that all responses share. They are not to be changed.
var (
	eventStream = []string{"text/event-stream; charset=utf-8"}
	noStore     = []string{"no-store, no-transform"}
	noBuffering = []string{"no"}
)

// setHead sets the headers of a response. Cache-Control and X-Accel-Buffering keep caches and proxies from changing or
// holding it, the second nginx in particular.
func setHead(h http.Header, o Options) {
	switch {
	case o.TypeOf != nil: // known later
	case o.ContentType != "":
		h.Set("Content-Type", o.ContentType)
	default:
		h["Content-Type"] = eventStream
	}
	h["Cache-Control"], h["X-Accel-Buffering"] = noStore, noBuffering
	if o.Encoding != "" {
		h.Set("Content-Encoding", o.Encoding)
	}
}

// vary draws from d - 20 % to d + 20 %.
func vary(d time.Duration) time.Duration { return varyBetween(d-d/5, d+d/5) }

// varyBetween draws from least to less than most.
func varyBetween(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + rand.N(most-least)
}

// takeOver makes the response's body: the connection itself, where it can be taken over, else what w writes. It is nil
// where a shard has taken the response.
func (d *Server) takeOver(w http.ResponseWriter, r *http.Request, src Source, o Options) (stream, error) {
	out, err := d.hijack(w, r, src, o)
	if out == nil || err != nil {
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

func (d *Server) hijack(w http.ResponseWriter, r *http.Request, src Source, o Options) (stream, error) {
	hijackable, bare := r.ProtoMajor == 1 && o.isSSE(), o.Encoding == ""
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok && hijackable && bare && d.handOver(conn, w, r, src, o) {
		clear(w.Header()) // net/http ends the response to nobody, and need not say much
		return nil, nil
	}
	control := http.NewResponseController(w)
	if !hijackable {
		return newOrdinary(w, r, control, d.config.WriteTimeout), nil
	}
	conn, buffered, err := control.Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return newOrdinary(w, r, control, d.config.WriteTimeout), nil
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: taking over the connection: %w", err)
	}
	if bare && d.handOver(conn, w, r, src, o) {
		return nil, nil
	}
	return newHijacked(conn, buffered, hijackedHead(w.Header(), r), d.config.WriteTimeout), nil
}

// connKey is a connection's in its requests' contexts.
type connKey struct{}

// ConnContext is for http.Server. With it a connection can be taken away from under net/http, which takes it for closed and
// uses its buffers again; what is hijacked takes them along.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}
