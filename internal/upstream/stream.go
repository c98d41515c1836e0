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
// this process, or from the backend's cursor (Call.Resume), which yields nothing to say so; else only under c.Restart,
// and once messages were yielded with a step that says so (Message.Restarted). Where the backend no longer has the cursor
// the call begins afresh at once (Message.Expired). A backend that ignores the cursor, and sends what it has sent before,
// has started the call again: where c.Restart does not allow that, the call ends with the status it was lost with.
// A call that finds the pool full before it was ever open ends with an outcome whose cause is [ErrPoolFull].
//
// The sequence can be read once, by one goroutine.
func (u *Upstream) Stream(ctx context.Context, c Call) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		r := &run{u: u, call: &c, gate: u.gate(c.Method), yield: yield, lostAt: time.Now()}
		if o := r.play(ctx); !r.left && o.Class != outcome.End {
			yield(Message{}, o.Err())
		}
	}
}

// run is one iteration of Stream: one call, however often it is opened.
type run struct {
	u     *Upstream
	call  *Call
	gate  *gate
	yield func(Message, error) bool
	left  bool // the reader has left the iteration

	tried      bool // it was tried before
	everOpened bool
	// How the call was lost after it had left this process, from its loss until the next message.
	lost *outcome.Outcome
	// The backend no longer has the cursor, and the reader is not told yet.
	expired bool

	// Since the last new message:
	failures, hard int           // tries that failed; and how many of them, the last ones, with anything but UNAVAILABLE
	without        time.Duration // how long the backend was not there, up to lostAt
	lostAt         time.Time     // since when it is not there now; zero while the call is open

	// Messages since the call began from its beginning, and how many they were the last time that there were any.
	count, lastCount int

	// This opening of the call:
	resumed  bool // it goes on from the backend's cursor
	answered int  // messages that came
	openedAt time.Time
}

// play opens the call until it ends for good.
func (r *run) play(ctx context.Context) outcome.Outcome {
	var o outcome.Outcome
	for {
		p := r.admit(ctx)
		if p == nil {
			return r.notAdmitted(ctx, o)
		}
		ready := r.u.pool.ready() // before the try, so that no connection that comes up after its failure is missed
		o = r.try(ctx, p)
		if r.isCompacted(o) {
			r.beginAfresh()
			continue
		}
		if r.left || !o.Class.Retryable() || ctx.Err() != nil || r.u.ctx.Err() != nil || !r.mayRepeat(o) {
			return o
		}
		r.noteLoss(o)
		pause, ok := r.pause(o)
		if !ok {
			return o
		}
		r.u.log.Debug("a call will be tried again", "method", r.call.name(), "outcome", o.Err(), "failures", r.failures, "in", pause)
		r.tellWaiting(Waiting{Code: o.Code(), Attempt: r.failures, RetryIn: r.waitsFor(pause)})
		if !r.u.sleep(ctx, pause, r.wakes(o, ready)) {
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
	if !o.Sent || r.call.Restart {
		return true
	}
	_, resumes := r.request()
	return resumes
}

// noteLost notes that the backend is not there from now on, if it was.
func (r *run) noteLost() {
	if r.lostAt.IsZero() {
		r.lostAt = time.Now()
	}
}

// noteSilence notes the end of a call that began then and may have had no answer. One that lasted was open all the same:
// many a backend sends not even headers until it has something to say.
func (r *run) noteSilence(began time.Time) {
	if !r.lostAt.IsZero() && time.Since(began) >= openAfter {
		r.without += began.Sub(r.lostAt)
		r.lostAt = time.Now()
		if time.Since(began) >= freshAfter {
			r.startOver()
		}
	}
}

// noteBeginning notes that the next message is the call's first again.
func (r *run) noteBeginning() {
	if r.count > 0 {
		r.lastCount, r.count = r.count, 0
	}
}

// noteLoss keeps account of a failed try.
func (r *run) noteLoss(o outcome.Outcome) {
	if r.lostAt.IsZero() && time.Since(r.openedAt) >= freshAfter {
		r.startOver() // a quiet call is no failing one
	}
	r.noteLost()
	r.tried = true
	r.failures++
	if o.Code() != unavailable {
		r.hard++
	} else {
		r.hard = 0
	}
	if r.lost == nil && o.Sent {
		r.lost = &o
	}
}

// remaining is how much longer the call may be without the backend.
func (r *run) remaining() time.Duration { return r.call.RetryFor - r.without - time.Since(r.lostAt) }

// waitsFor is how long a pause is as readers are told: at a closed gate it lasts until the next probe.
func (r *run) waitsFor(pause time.Duration) time.Duration {
	return min(r.remaining(), max(pause, r.gate.nextProbe()))
}

// wakes returns what ends the pause after o early; nil for nothing.
func (r *run) wakes(o outcome.Outcome, ready <-chan struct{}) <-chan struct{} {
	switch {
	case !o.Sent:
		return ready
	case o.RetryDelay > 0:
		return nil // what the backend asked for is kept to
	default:
		return r.gate.whenOpen() // the backend was there: only time helps, unless another call is answered
	}
}

func (r *run) tellWaiting(w Waiting) {
	if r.call.Watch.Waiting != nil {
		r.call.Watch.Waiting(w)
	}
}

// pause returns how long to wait before the next try, and whether there is one.
func (r *run) pause(o outcome.Outcome) (time.Duration, bool) {
	remaining := r.remaining()
	if remaining <= 0 || r.hard >= maxFailures || o.RetryDelay > remaining {
		return 0, false
	}
	return min(remaining, backOff(r.failures, o.RetryDelay)), true
}

// try opens the call and yields its messages until it ends.
func (r *run) try(ctx context.Context, p *pass) outcome.Outcome {
	defer p.end(unsent)
	c := r.call
	request, resumed := r.request()
	r.resumed, r.answered = resumed, 0
	desc := &grpc.StreamDesc{ServerStreams: true}
	s, err := r.u.pool.open(r.u.outgoing(ctx, c.metadata()), desc, c.Method, c.options())
	if err != nil {
		return r.u.notOpened(ctx, err)
	}
	p.begin()
	defer s.cancel(nil)
	idle := newIdleTimer(c.IdleTimeout, func() { s.cancel(errIdle) })
	defer idle.end()
	// grpc-go half-closes after the one request of such a call by itself.
	if err := s.SendMsg(request); err != nil {
		o := r.u.ended(ctx, s, err, c)
		r.u.judge(ctx, p, o)
		return o
	}
	// No headers: the call has already ended, and RecvMsg says how.
	if md, err := s.Header(); err == nil && md != nil {
		idle.stop()
		p.end(answered)
		if !r.opened() {
			return outcome.Outcome{}
		}
		idle.start(time.Time{})
	}
	ignored, err := r.receive(s, idle)
	switch {
	case r.left:
		return outcome.Outcome{}
	case ignored != nil:
		return *ignored
	}
	o := r.u.ended(ctx, s, err, c)
	r.u.judge(ctx, p, o)
	r.noteSilence(p.began)
	if o.Class == outcome.End && !r.resumed && r.answered == 0 {
		r.tellBeginning() // a call that ended without a message began, too
	}
	return o
}

// receive yields messages until there are no more, the reader leaves, or the backend has ignored the cursor of a call
// that must not start again: ignored is then its outcome.
func (r *run) receive(s *rpc, idle *idleTimer) (ignored *outcome.Outcome, err error) {
	var f frame
	defer f.free()
	for {
		if err := s.RecvMsg(&f); err != nil {
			return nil, err
		}
		idle.stop()
		data := f.data()
		keep, ignored := r.see(data)
		if ignored != nil || r.left {
			return ignored, nil
		}
		if keep {
			r.noteMessage()
			if !r.yield(Message{Data: data, Received: f.received, idle: idle}, nil) {
				r.left = true
				return nil, nil
			}
		}
		f.free()
		idle.start(f.received)
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
	if r.resumed {
		r.call.Resume.Reopened()
		return true
	}
	return r.tellBeginning()
}

// tellBeginning tells the reader, once, that what follows is the call from its beginning, where that is not what it
// expects. It returns false when the reader has left.
func (r *run) tellBeginning() bool {
	switch {
	case r.expired:
		r.expired = false
		return r.told(Message{Expired: true})
	case r.count > 0:
		r.noteBeginning()
		return r.told(Message{Restarted: r.lost})
	default:
		return true
	}
}

// told yields a step. It returns false when the reader has left.
func (r *run) told(m Message) bool {
	r.left = !r.yield(m, nil)
	return !r.left
}

// noteMessage counts a message, and starts the account over when it is a new one. A call that was started again may
// repeat what it sent before, and a backend that fails at the same message every time must not be called for ever: so
// without a cursor, messages are new once there are more of them than last time, or the call has been open for some
// time.
func (r *run) noteMessage() {
	r.count++
	r.lost = nil
	if r.resumed || r.count > r.lastCount || time.Since(r.openedAt) >= freshAfter {
		r.startOver()
	}
}

// startOver starts the account over.
func (r *run) startOver() { r.failures, r.hard, r.without = 0, 0, 0 }
