package upstream

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

const (
	// maxFailures is how often in a row, without a new message, a call may fail with anything but UNAVAILABLE: that says
	// "not now", and the others are likely to stay.
	maxFailures = 5

	// freshAfter is when a restarted call's messages count as new whatever came before, see run.noteMessage.
	freshAfter = time.Minute
)

// Stream makes a server-streaming call and yields its messages. The call begins with the iteration and is cancelled,
// once, when ctx ends or the iteration is left. A call that ends with OK just ends; otherwise the last step is an error
// of type [*outcome.Error], CANCELLED where ctx ended.
//
// A lost call is opened again, while the iteration waits, where protocol and c allow it: always when it did not leave
// this process, else only under c.Restart, and once messages were yielded with a step that says so (Message.Restarted).
// A call that finds the pool full before it was ever open ends with an outcome whose cause is [ErrPoolFull].
//
// The sequence can be read once, by one goroutine.
func (u *Upstream) Stream(ctx context.Context, c Call) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := &run{u: u, call: &c, yield: yield, lostAt: time.Now()}
		if o := r.play(ctx); !r.left && o.Class != outcome.End {
			yield(Message{}, o.Err())
		}
	}
}

// run is one iteration of Stream: one call, however often it is opened.
type run struct {
	u     *Upstream
	call  *Call
	yield func(Message, error) bool
	left  bool // the reader has left the iteration

	everOpened bool
	// How the call was lost, from the loss of a call that had yielded messages until the reader is told.
	lost *outcome.Outcome

	// Since the last new message:
	failures, hard int           // tries that failed; among them those with anything but UNAVAILABLE
	without        time.Duration // how long the backend was not there, up to lostAt
	lostAt         time.Time     // since when it is not there now; zero while the call is open

	// Messages of this opening of the call, and of the last one that had any.
	count, lastCount int
	openedAt         time.Time
}

// play opens the call until it ends for good.
func (r *run) play(ctx context.Context) outcome.Outcome {
	for {
		ready := r.u.pool.ready() // before the try, so that no connection that comes up after its failure is missed
		o := r.try(ctx)
		if r.left || !o.Class.Retryable() || ctx.Err() != nil || r.u.ctx.Err() != nil || !r.mayRepeat(o) {
			return o
		}
		r.noteLoss(o)
		pause, ok := r.pause(o)
		if !ok {
			return o
		}
		r.u.log.Debug("a call will be tried again", "method", r.call.name(), "outcome", o.Err(), "failures", r.failures, "in", pause)
		if r.call.Watch.Waiting != nil {
			r.call.Watch.Waiting(Waiting{Code: o.Code(), Attempt: r.failures, RetryIn: pause})
		}
		if o.Sent {
			ready = nil // the backend was there: only time helps
		}
		if !r.u.sleep(ctx, pause, ready) {
			return r.u.stopped(ctx, o)
		}
	}
}

// stopped is the outcome of a call that was given up during a pause after o.
func (u *Upstream) stopped(ctx context.Context, o outcome.Outcome) outcome.Outcome {
	if ctx.Err() != nil {
		return outcome.Of(ctx.Err())
	}
	return closedOutcome(o.Sent)
}

// mayRepeat applies the contract's rules for a call that ended broken or busy.
func (r *run) mayRepeat(o outcome.Outcome) bool {
	if errors.Is(o.Cause, ErrPoolFull) && !r.everOpened {
		return false // the client is better told than kept: nothing of its stream exists yet
	}
	return !o.Sent || r.call.Restart
}

// noteLoss keeps account of a failed try.
func (r *run) noteLoss(o outcome.Outcome) {
	if r.lostAt.IsZero() {
		r.lostAt = time.Now()
	}
	r.failures++
	if o.Code() != unavailable {
		r.hard++
	}
	if r.count > 0 {
		r.lost, r.lastCount, r.count = &o, r.count, 0
	}
}

// pause returns how long to wait before the next try, and whether there is one.
func (r *run) pause(o outcome.Outcome) (time.Duration, bool) {
	remaining := r.call.RetryFor - r.without - time.Since(r.lostAt)
	if remaining <= 0 || r.hard >= maxFailures || o.RetryDelay > remaining {
		return 0, false
	}
	return min(remaining, backOff(r.failures, o.RetryDelay)), true
}

// try opens the call and yields its messages until it ends.
func (r *run) try(ctx context.Context) outcome.Outcome {
	c := r.call
	desc := &grpc.StreamDesc{ServerStreams: true}
	s, err := r.u.pool.open(r.u.outgoing(ctx, c.metadata()), desc, c.Method, c.options())
	if err != nil {
		return r.u.notOpened(ctx, err)
	}
	defer s.cancel(nil)
	idle := newIdleTimer(c.IdleTimeout, func() { s.cancel(errIdle) })
	defer idle.stop()
	// grpc-go half-closes after the one request of such a call by itself.
	if err := s.SendMsg(c.Request); err != nil {
		return r.u.ended(ctx, s, err, c)
	}
	// No headers: the call has already ended, and RecvMsg says how.
	if md, err := s.Header(); err == nil && md != nil {
		idle.stop()
		if !r.opened() {
			return outcome.Outcome{}
		}
		idle.start()
	}
	err = r.receive(s, idle)
	if r.left {
		return outcome.Outcome{}
	}
	o := r.u.ended(ctx, s, err, c)
	if o.Class == outcome.End {
		r.tellRestart() // a call that ended without a message was started again, too
	}
	return o
}

// receive yields messages until there are no more or the reader leaves.
func (r *run) receive(s *rpc, idle *idleTimer) error {
	var f frame
	defer f.free()
	for {
		if err := s.RecvMsg(&f); err != nil {
			return err
		}
		idle.stop()
		r.noteMessage()
		if !r.yield(Message{Data: f.data()}, nil) {
			r.left = true
			return nil
		}
		f.free()
		idle.start()
	}
}

// opened notes that the backend answers. It returns false when the reader has left.
func (r *run) opened() bool {
	r.everOpened = true
	r.openedAt = time.Now()
	r.without += r.openedAt.Sub(r.lostAt)
	r.lostAt = time.Time{}
	if r.call.Watch.Opened != nil {
		r.call.Watch.Opened()
	}
	return r.tellRestart()
}

// tellRestart tells the reader, once, that what follows is another run of the call. It returns false when the reader
// has left.
func (r *run) tellRestart() bool {
	lost := r.lost
	r.lost = nil
	if lost != nil && !r.yield(Message{Restarted: lost}, nil) {
		r.left = true
	}
	return !r.left
}

// noteMessage counts a message, and starts the account over when it is a new one. A call that was started again may
// repeat what it sent before, and a backend that fails at the same message every time must not be called for ever: so
// messages are new once there are more of them than last time, or the call has been open for some time.
func (r *run) noteMessage() {
	r.count++
	if r.count > r.lastCount || time.Since(r.openedAt) >= freshAfter {
		r.failures, r.hard, r.without = 0, 0, 0
	}
}

// idleTimer calls a function when it has run for some time without being stopped.
type idleTimer struct {
	after time.Duration
	timer *time.Timer // nil: no limit
}

// newIdleTimer returns a running timer.
func newIdleTimer(after time.Duration, f func()) *idleTimer {
	if after <= 0 {
		return &idleTimer{}
	}
	return &idleTimer{after: after, timer: time.AfterFunc(after, f)}
}

func (t *idleTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *idleTimer) start() {
	if t.timer != nil {
		t.timer.Reset(t.after)
	}
}
