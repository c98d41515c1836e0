// Package outcome says how a call ended and what to do next: which gRPC statuses are final and which are worth another
// try, which HTTP status each one is, and how it is written for clients.
//
// It is the one place where a status becomes something a client sees. Every other package hands on an [Outcome] or an
// [*Error] and decides nothing by itself.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Class is what the end of a call means for whoever started it.
type Class int

const (
	// End: the call ended as it should (OK).
	End Class = iota
	// Permanent: the call failed, and the same call would fail again.
	Permanent
	// Broken: the call was lost on the way (a connection that went away, a reset, a proxy's answer), or the backend
	// said UNAVAILABLE. Another try may succeed.
	Broken
	// Busy: the backend, or the bridge's own connection pool, has no room now. As Broken, after RetryDelay.
	Busy
)

// String returns the class's name in lower case, for logs.
func (c Class) String() string {
	switch c {
	case End:
		return "end"
	case Permanent:
		return "permanent"
	case Broken:
		return "broken"
	case Busy:
		return "busy"
	default:
		return fmt.Sprintf("class %d", int(c))
	}
}

// Retryable reports whether another try of the same call may succeed. Whether it may be made is for the caller to know:
// a call that must not run twice is not repeated once it was sent.
func (c Class) Retryable() bool { return c == Broken || c == Busy }

// Outcome is how one call ended. The zero value is a clean end.
type Outcome struct {
	// Status is what clients are told. nil is OK. Its message is safe to show: what this process or a proxy made up is
	// replaced by a fixed text, and the original is in Cause.
	Status *status.Status

	// Class is what the end means.
	Class Class

	// RetryDelay is how long the backend asks to wait before another try (google.rpc.RetryInfo). 0 where it does not
	// say.
	RetryDelay time.Duration

	// Sent reports whether the call may have reached the backend. While it is false the backend has certainly not run
	// the call, and it may be repeated whatever it does.
	Sent bool

	// HTTP is the HTTP status, where it is another than the code's own. 0 means HTTPStatus of the code.
	HTTP int

	// Cause is the original error, for logs only: it can hold addresses and other internals. nil where Status says all.
	Cause error
}

// Code returns the status's code; OK where there is no status.
func (o Outcome) Code() codes.Code { return o.Status.Code() }

// Compacted reports whether the backend itself ended the call with a code that, as the answer to a call that was opened
// at a cursor, means that it no longer has that place: NOT_FOUND, OUT_OF_RANGE or FAILED_PRECONDITION.
func (o Outcome) Compacted() bool {
	if o.Class != Permanent || !o.Sent {
		return false
	}
	switch o.Code() {
	case codes.NotFound, codes.OutOfRange, codes.FailedPrecondition:
		return true
	default:
		return false
	}
}

// Err returns the outcome as an error of type [*Error], or nil for a clean end.
func (o Outcome) Err() error {
	if o.Class == End {
		return nil
	}
	return &Error{Outcome: o}
}

// Error is a call that did not end well. It works with [errors.As] and with gRPC's status.FromError.
type Error struct{ Outcome }

// Error returns the code and message that clients see, and behind them the cause, which they do not.
func (e *Error) Error() string {
	text := CodeName(e.Code()) + ": " + e.Status.Message()
	if e.Cause != nil {
		text += " (" + e.Cause.Error() + ")"
	}
	return text
}

// GRPCStatus returns what clients are told.
func (e *Error) GRPCStatus() *status.Status { return e.Status }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Of returns what err means: nil is a clean end, an [*Error] its own outcome, [context.Canceled] a permanent CANCELLED.
// [context.DeadlineExceeded] is a broken DEADLINE_EXCEEDED, and everything else a broken UNAVAILABLE, whatever it says of
// itself: only an [*Error] carries a status that came from the backend.
func Of(err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	switch {
	case errors.Is(err, context.Canceled):
		o := New(codes.Canceled, "%s", localText(codes.Canceled))
		o.Sent, o.Cause = true, err
		return o
	case errors.Is(err, context.DeadlineExceeded):
		return local(codes.DeadlineExceeded, true, err)
	default:
		return local(codes.Unavailable, true, err)
	}
}

// New returns a permanent outcome of the bridge's own making. Clients see the text: it says what was wrong, where, and
// what to do.
func New(code codes.Code, format string, args ...any) Outcome {
	return Outcome{Status: status.Newf(code, format, args...), Class: Permanent}
}

// FromTrailers returns the outcome of a call that the backend itself ended with a status in its trailers. A code that
// gRPC does not define counts as UNKNOWN, as gRPC's specification asks.
func FromTrailers(st *status.Status) Outcome {
	if st.Code() > codes.Unauthenticated {
		p := st.Proto()
		p.Code = int32(codes.Unknown)
		st = status.FromProto(p)
	}
	o := Outcome{Status: st, Class: classOf(st.Code()), Sent: true}
	if o.Class.Retryable() {
		o.RetryDelay = retryDelay(st)
	}
	return o
}

// classOf is the class of a code that came in trailers.
func classOf(c codes.Code) Class {
	switch c {
	case codes.OK:
		return End
	case codes.Unavailable:
		return Broken
	case codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded:
		return Busy
	default:
		return Permanent
	}
}

// retryDelay is the positive delay in the status's RetryInfo, or 0.
func retryDelay(st *status.Status) time.Duration {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().IsValid() {
			return max(0, info.GetRetryDelay().AsDuration())
		}
	}
	return 0
}

// Local returns the outcome of a call whose status did not come from the backend: this process made it up because of a
// lost connection, a reset, or an answer that is no gRPC (a proxy's HTML 503). Whatever its code, the call is broken.
// Clients get the code with a fixed text; st itself becomes the cause. sent is Outcome.Sent.
func Local(st *status.Status, sent bool) Outcome {
	code := st.Code()
	if code == codes.OK || code > codes.Unauthenticated {
		code = codes.Unknown
	}
	return local(code, sent, st.Err())
}

func local(code codes.Code, sent bool, cause error) Outcome {
	return Outcome{Status: status.New(code, localText(code)), Class: Broken, Sent: sent, Cause: cause}
}

// localText is what clients read in place of a text that was not written for them.
func localText(c codes.Code) string {
	switch c {
	case codes.Unavailable:
		return "the backend cannot be reached"
	case codes.Canceled:
		return "the call was cancelled"
	case codes.DeadlineExceeded:
		return "the backend took too long"
	default:
		return "the connection to the backend was lost"
	}
}

// TooLarge returns the permanent outcome of a call whose message is over the receive limit in bytes. method is the
// method's name as users write it.
func TooLarge(method string, limit int) Outcome {
	o := New(codes.ResourceExhausted, "%s sent a message larger than the limit of %d bytes: "+
		"raise max_message_bytes in the method's stream rule, or send smaller messages", method, limit)
	// Not 429: that asks HTTP clients to try again, and each try would run the whole call to the same end.
	o.HTTP, o.Sent = 500, true
	return o
}
