package upstream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// DefaultMaxMessageBytes is the receive limit where Call.MaxMessageBytes does not say; gRPC's own default.
const DefaultMaxMessageBytes = 4 << 20

// Call is one call and the rules for losing it.
type Call struct {
	// Method is the RPC path, /package.Service/Method.
	Method string

	// Request is the encoded request message. It must not change until the call has ended.
	Request []byte

	// Metadata returns what the client's request brings. It is asked each time that the call is opened, so that a call
	// that was lost goes on with the newest credentials, and must not block. Keys are made lower case. Default nil: none.
	Metadata func() metadata.MD

	// MaxMessageBytes is the receive limit. A larger message ends the call for good. Default [DefaultMaxMessageBytes].
	MaxMessageBytes int

	// IdleTimeout is how long the backend may send nothing before the call counts as broken. Time that the reader waits
	// before it takes another message is not counted, where it says so (Message.Hold). Default 0: no limit. For Stream only.
	IdleTimeout time.Duration

	// RetryFor is how long in total a lost call is without the backend, since its last new message, before it ends with
	// the status it had last. A call that was open is not without it, nor one that was open for 5 s without an answer.
	// Default 0: it is never opened again. For Stream only.
	RetryFor time.Duration

	// Restart allows to start the call again after it was lost (on_lost RESTART). Without it a call that may have
	// reached the backend is never started again. For Stream only.
	Restart bool

	// Resume follows the backend's own cursor: while it has one, a lost call is opened again from there, whatever Restart
	// says. Default nil: the backend has none. For Stream only.
	Resume Resumer

	// Watch is told how the call fares. For Stream only.
	Watch Watcher
}

// Resumer knows from where a lost call goes on. Its functions are called on the goroutine that reads the call and must
// not block. *cursor.Tracker is one.
type Resumer interface {
	// Request returns the request that opens the call where it goes on. ok is false where there is no cursor: nothing was
	// seen yet, or the backend broke the rule. Call.Request is then used, and what Call.Restart says holds.
	Request() (request []byte, ok bool)

	// Reopened is called when the backend has answered a call that was opened with what Request returned, before its
	// first message; also where that was the first time, because the reader came with a cursor.
	Reopened()

	// See judges each message before it is yielded. Ignored is heeded only for the first message after Reopened; from
	// then on Request has none.
	See(data []byte) cursor.Verdict

	// Forget is called when the backend no longer has the cursor. The call begins afresh: Request has none.
	Forget()
}

// FixedMetadata is for calls whose metadata does not change.
func FixedMetadata(md metadata.MD) func() metadata.MD { return func() metadata.MD { return md } }

func (c *Call) metadata() metadata.MD {
	if c.Metadata == nil {
		return nil
	}
	return c.Metadata()
}

func (c *Call) maxMessageBytes() int {
	if c.MaxMessageBytes <= 0 {
		return DefaultMaxMessageBytes
	}
	return c.MaxMessageBytes
}

// name is the method as users write it.
func (c *Call) name() string { return strings.TrimPrefix(c.Method, "/") }

func (c *Call) options() []grpc.CallOption {
	return []grpc.CallOption{
		grpc.ForceCodecV2(codec{}),
		grpc.MaxCallRecvMsgSize(c.maxMessageBytes()),
		// While the backend cannot be reached a call fails at once, so that its readers are told.
		grpc.WaitForReady(false),
	}
}

// Watcher is told how a call fares. Both functions are called on the goroutine that reads the call, must not block, and
// may be nil.
type Watcher struct {
	// Opened is called when the backend's headers or first message have arrived; once for each time the call is opened.
	Opened func()

	// Waiting is called when the call is lost, or cannot be opened, and will be tried again.
	Waiting func(Waiting)
}

// Waiting describes a call that will be tried again.
type Waiting struct {
	// Code is why.
	Code codes.Code
	// Attempt counts the tries that failed since the last new message, from 1. It is 1 also for a call that waits before
	// its first try, since others of its method fail.
	Attempt int
	// RetryIn is about how long the pause is. It ends early when the backend can be reached or answers others again, and
	// lasts longer while many calls wait for one that is answered.
	RetryIn time.Duration
}

// Message is one step of a streaming call.
type Message struct {
	// Data is a message of the backend's, valid until the next step.
	Data []byte

	// Received is when Data was received. No message is received before the one before it.
	Received time.Time

	// Restarted is set instead of Data when the call was lost and has been started again from its beginning. It says
	// how it was lost. A call that goes on from the backend's cursor has no such step.
	Restarted *outcome.Outcome

	// Expired is set instead of Data when the backend no longer has the cursor, or ignores it from the start: what follows
	// is the call from its beginning.
	Expired bool

	idle *idleTimer // nil where there is no Data
}

// Hold says that the reader waits for something, so that it is late to take the next message: Call.IdleTimeout does not
// count that. It is called during the step.
func (m Message) Hold() {
	if m.idle != nil {
		m.idle.hold()
	}
}

// Invoke makes a unary call and returns the response message with the backend's headers and trailers, which also an error
// may come with. The error is an [*outcome.Error]. ctx's deadline is told to the backend; past it the call ends with
// DEADLINE_EXCEEDED. The call is repeated once, at once, when the backend refused it unseen (a connection that was being
// closed); else never.
func (u *Upstream) Invoke(ctx context.Context, c Call) (resp []byte, header, trailer metadata.MD, err error) {
	g := u.gate(c.Method)
	p, _ := g.enter()
	if p == nil {
		return nil, nil, nil, gateClosed(g.nextProbe()).Err()
	}
	var o outcome.Outcome
	for range 2 {
		resp, header, trailer, o = u.invoke(ctx, &c, p)
		if refused := !p.began.IsZero() && o.Class == outcome.Broken && !o.Sent; !refused {
			break
		}
	}
	u.judge(ctx, p, o)
	return resp, header, trailer, o.Err()
}

// invoke makes the call once.
func (u *Upstream) invoke(ctx context.Context, c *Call, p *pass) (
	resp []byte, header, trailer metadata.MD, o outcome.Outcome,
) {
	opts := append(c.options(), grpc.Header(&header), grpc.Trailer(&trailer))
	s, err := u.pool.open(u.outgoing(ctx, c.metadata()), &grpc.StreamDesc{}, c.Method, opts)
	if err != nil {
		return nil, nil, nil, u.notOpened(ctx, err)
	}
	p.begin()
	defer s.cancel(nil)
	var f frame
	defer f.free()
	err = s.SendMsg(c.Request)
	if err == nil {
		err = s.RecvMsg(&f)
	}
	if err != nil {
		return nil, header, trailer, u.ended(ctx, s, err, c)
	}
	return slices.Clone(f.data()), header, trailer, outcome.Outcome{}
}

// notOpened is the outcome of a call that pool.open could not open.
func (u *Upstream) notOpened(ctx context.Context, err error) outcome.Outcome {
	if ctx.Err() != nil {
		o := outcome.Of(ctx.Err())
		o.Sent = false
		return o
	}
	if errors.Is(err, ErrPoolFull) {
		return poolFull()
	}
	if u.ctx.Err() != nil {
		return closedOutcome(false)
	}
	return outcome.Local(status.Convert(err), false)
}

// closedOutcome is the outcome of every call after Close.
func closedOutcome(sent bool) outcome.Outcome {
	return outcome.Local(status.New(unavailable, errClosed.Error()), sent)
}

// ended is the outcome of an open call.
func (u *Upstream) ended(ctx context.Context, s *rpc, err error, c *Call) outcome.Outcome {
	o := s.outcome(ctx, err, c)
	if u.ctx.Err() != nil && o.Class == outcome.Broken {
		return closedOutcome(o.Sent)
	}
	if o.Code() == codes.Unimplemented && o.Class == outcome.Permanent {
		u.noteChange()
	}
	return o
}
