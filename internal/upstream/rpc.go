package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

const unavailable = codes.Unavailable

var (
	// errWaited: the call waited too long for a stream and was taken back. It did not leave the process.
	errWaited = errors.New("upstream: no stream on this connection")
	// errIdle: the backend sent nothing for the method's idle timeout.
	errIdle = errors.New("upstream: idle timeout")
)

// rpc is one open call.
type rpc struct {
	grpc.ClientStream
	record *record
	ctx    context.Context
	// cancel ends the call; the backend sees it once. It must be called, whatever became of the call, and its cause is
	// what outcome goes by.
	cancel context.CancelCauseFunc
}

// record is what grpc-go's stats events told about a call. What they mean (grpc-go 1.85, each pinned by a test):
//
//   - OutHeader comes, on the goroutine of NewStream, when the call has a stream and its headers are queued for the
//     connection; from there on NewStream succeeds. So where it fails nothing was written: it failed while resolving,
//     dialling, picking, or waiting for a stream.
//   - InHeader comes with the backend's headers only. A response that is no gRPC (an HTML page with status 503) brings
//     neither InHeader nor InTrailer, and a status made from the HTTP one.
//   - InTrailer comes when a frame of gRPC trailers has been read, before RecvMsg returns their status, and only then:
//     also for a trailers-only response, but not for RST_STREAM, GOAWAY, a lost connection, a cancelled context, or an
//     END_STREAM on a data frame. It comes when the frame arrives, though, not when the status is reached: RecvMsg may
//     still fail on an earlier message by itself. See tooLarge and unreadable for what that may be.
//   - A stream that the server has certainly not processed (REFUSED_STREAM, or above the last id of a GOAWAY) is told
//     by text only. grpc-go would repeat it by itself; reading the stream's Context commits the call and stops that.
//   - io.EOF is the status OK from trailers. It comes from RecvMsg only: where the call has ended before its request,
//     SendMsg gives no error, as long as the client sends no more than that.
type record struct {
	phase             atomic.Int32
	headers, trailers atomic.Bool
}

// A record's phases. The change from waiting is made once, by whoever is first: OutHeader or the watch for calls that
// wait. So a call that has just got its stream is never taken back.
const (
	phaseWaiting int32 = iota
	phaseSent
	phaseTakenBack
)

type recordKey struct{}

// events receives grpc-go's events of one slot.
type events struct {
	pool *pool
	slot *slot
}

// TagRPC does nothing: the record is in the call's context already.
func (events) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC keeps a call's record.
func (events) HandleRPC(ctx context.Context, e stats.RPCStats) {
	switch e := e.(type) {
	case *stats.OutHeader:
		if r := recordOf(ctx); r != nil {
			r.phase.CompareAndSwap(phaseWaiting, phaseSent)
		}
	case *stats.InHeader:
		if r := recordOf(ctx); r != nil {
			r.headers.Store(true)
		}
	case *stats.InTrailer:
		if r := recordOf(ctx); r != nil {
			r.trailers.Store(true)
		}
	case *stats.InPayload: // of every message: nothing is looked for in its context
		if f, ok := e.Payload.(*frame); ok {
			f.received = e.RecvTime
		}
	}
}

// recordOf is the call's record, nil where the call is not one of Upstream's own.
func recordOf(ctx context.Context) *record {
	r, _ := ctx.Value(recordKey{}).(*record)
	return r
}

// TagConn does nothing.
func (events) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn notes the beginnings and ends of connections. ConnBegin comes before the HTTP/2 handshake, so before the
// connection's first call.
func (e events) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		e.pool.connected(e.slot)
	case *stats.ConnEnd:
		e.pool.disconnected(e.slot)
	}
}

// open starts the call on the lease's connection. The lease is released when the call ends, or here if it cannot begin.
// A call that could not begin has not left the process.
func (l *lease) open(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption,
) (*rpc, error) {
	r := &record{}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, recordKey{}, r))
	s := &rpc{record: r, ctx: ctx, cancel: cancel}
	opts = append(slices.Clip(opts), grpc.OnFinish(func(error) {
		s.cancel(nil)
		l.release()
	}))
	stop := l.watchWait(s)
	cs, err := l.slot.conn.NewStream(ctx, desc, method, opts...)
	stop()
	if err == nil && s.record.phase.Load() == phaseTakenBack {
		// Taken back between the stream's making and OutHeader: headers may have left, but never the request, without
		// which no method runs.
		err = errWaited
	}
	if err != nil {
		s.cancel(nil)
		l.release()
		if s.endedBy(errWaited) {
			err = errWaited
		}
		return nil, err
	}
	l.opening()
	s.ClientStream = cs
	cs.Context() // commits, see record
	return s, nil
}

// watchWait takes the call back, with the cause errWaited, once it has been without a stream for maxStreamWait while
// the connection was up and is not known to have room. stop ends the watch.
func (l *lease) watchWait(s *rpc) (stop func()) {
	var (
		mu    sync.Mutex
		timer *time.Timer
		done  bool
		waits int
	)
	isUp := func() bool { return l.slot.conn.GetState() == connectivity.Ready }
	wasUp := isUp()
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(maxStreamWait, func() {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return
		}
		up := isUp()
		if up && wasUp {
			waits++
		}
		if up && wasUp && (waits == maxStreamWaits || !l.mayHaveRoom()) {
			if s.record.phase.CompareAndSwap(phaseWaiting, phaseTakenBack) {
				s.cancel(errWaited)
			}
			return
		}
		wasUp = up
		timer.Reset(maxStreamWait)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done = true
		timer.Stop()
	}
}

// refused are the texts of statuses that grpc-go makes for a stream that the server has not processed.
var refused = []string{
	"stream terminated by RST_STREAM with error code: REFUSED_STREAM",
	"the stream is rejected because server is draining the connection",
	"the connection is draining",
}

// outcome says how the call ended, from the error that SendMsg or RecvMsg gave. ctx is the caller's.
func (s *rpc) outcome(ctx context.Context, err error, c *Call) outcome.Outcome {
	st := status.Convert(err)
	switch {
	case errors.Is(err, io.EOF) && s.record.trailers.Load():
		return outcome.Outcome{Sent: true}
	case errors.Is(err, io.EOF):
		// grpc-go gives no such thing today. If it ever does, it must not pass for the backend's OK.
		return outcome.Local(status.New(codes.Internal, "the stream ended without trailers"), true)
	case ctx.Err() != nil:
		return outcome.Of(ctx.Err())
	case s.endedBy(errIdle):
		return outcome.Local(status.Newf(unavailable, "nothing received for %v", c.IdleTimeout), true)
	case s.tooLarge(st, c.maxMessageBytes()):
		return outcome.TooLarge(c.name(), c.maxMessageBytes())
	case s.record.headers.Load() && isUnreadable(st):
		o := outcome.Local(st, true)
		o.Class = outcome.Permanent // the same call would bring the same message
		return o
	case s.record.trailers.Load():
		return outcome.FromTrailers(st)
	default:
		// A backend that has answered has processed the stream, whatever it says later.
		return outcome.Local(st, s.record.headers.Load() || !isRefused(st))
	}
}

// endedBy reports whether the call was cancelled for this reason.
func (s *rpc) endedBy(reason error) bool {
	return errors.Is(context.Cause(s.ctx), reason)
}

func isRefused(st *status.Status) bool {
	for _, text := range refused {
		if st.Code() == unavailable && st.Message() == text {
			return true
		}
	}
	return false
}

// unreadable are the beginnings of statuses that grpc-go makes for a message that it cannot read, whether the trailers
// behind it have arrived or not. What is too large is tooLarge's.
var unreadable = []string{
	io.ErrUnexpectedEOF.Error(),
	"grpc: compressed flag set with identity or empty encoding",
	"grpc: Decompressor is not installed for grpc-encoding",
	"grpc: failed to decompress the",
	"grpc: received unexpected payload format",
}

func isUnreadable(st *status.Status) bool {
	if st.Code() != codes.Internal && st.Code() != codes.Unimplemented {
		return false // "unexpected EOF" with UNKNOWN is what a backend in Go says itself
	}
	return slices.ContainsFunc(unreadable, func(text string) bool { return strings.HasPrefix(st.Message(), text) })
}

// tooLarge reports whether the status is grpc-go's own for a message over the receive limit. Its trailers may have
// arrived already, and a backend that refuses our request for its size uses the same text in trailers: but then
// without headers before them, or with its own limit in the text.
func (s *rpc) tooLarge(st *status.Status, limit int) bool {
	if st.Code() != codes.ResourceExhausted || !s.record.headers.Load() {
		return false
	}
	var size, told int
	for _, format := range []string{
		"grpc: received message larger than max (%d vs. %d)",
		"grpc: message after decompression larger than max (%d vs. %d)",
	} {
		if n, _ := fmt.Sscanf(st.Message(), format, &size, &told); n == 2 && told == limit {
			return true
		}
	}
	return false
}
