package upstream

import (
	"context"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// gate returns the gate of a method. There are as many as methods are called, which are those of the schema.
func (u *Upstream) gate(method string) *gate {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.gates[method]
	if g == nil {
		g = newGate(u.log.With("method", method))
		u.gates[method] = g
	}
	return g
}

// hasten lets every closed gate have a probe now.
func (u *Upstream) hasten() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, g := range u.gates {
		g.hasten()
	}
}

// admit waits until the call may be opened: until its method's gate is open, or it is the probe, and, where it was tried
// before, until it has a slot of the backend's budget. It returns nil when the call's time for that, or ctx, or the
// Upstream ended first.
func (r *run) admit(ctx context.Context) *pass {
	p, _ := r.gate.enter()
	if p != nil && (p.probeOf != nil || !r.tried) {
		return p
	}
	if p != nil && r.u.budget.tryTake() {
		p.budget = r.u.budget
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, r.remaining())
	defer cancel()
	for ctx.Err() == nil && r.u.ctx.Err() == nil {
		p, opens := r.gate.enter()
		switch {
		case p == nil:
			p = r.queue(ctx, opens)
		case p.probeOf == nil && r.tried:
			p = r.takeSlot(ctx)
		}
		if p != nil {
			return p
		}
	}
	return nil
}

// queue waits at a closed gate. It returns a probe's pass, or nil when there is something new: the gate has opened and
// this call's turn has come, or ctx or the Upstream ended.
func (r *run) queue(ctx context.Context, opens <-chan struct{}) *pass {
	if !r.tried {
		r.tellWaiting(Waiting{Code: unavailable, Attempt: 1, RetryIn: r.gate.nextProbe()})
	}
	r.u.waiting.Add(1)
	defer r.u.waiting.Add(-1)
	select {
	case ticket := <-r.gate.tickets:
		return r.gate.redeem(ticket)
	case <-opens:
		r.u.rest(ctx, r.u.wakeIn(), nil)
	case <-ctx.Done():
	case <-r.u.ctx.Done():
	}
	return nil
}

// takeSlot waits for a slot. It returns nil when the gate has closed meanwhile, or ctx or the Upstream ended.
func (r *run) takeSlot(ctx context.Context) *pass {
	if !r.u.budget.take(ctx, r.u.ctx.Done()) {
		return nil
	}
	p, _ := r.gate.enter()
	if p != nil && p.probeOf == nil {
		p.budget = r.u.budget
	} else {
		r.u.budget.giveBack()
	}
	return p
}

// judge ends the pass of a call that ended with o; after an answer that was told before it does nothing.
func (u *Upstream) judge(ctx context.Context, p *pass, o outcome.Outcome) {
	switch {
	case p.began.IsZero() || ctx.Err() != nil || u.ctx.Err() != nil:
		p.end(unsent)
	case o.Class == outcome.Busy:
		p.end(busy)
	case o.Class == outcome.Broken && time.Since(p.began) < openAfter:
		p.end(failed)
	default:
		p.end(answered)
	}
}

// notAdmitted is the outcome of a call that was not opened again after it ended with last.
func (r *run) notAdmitted(ctx context.Context, last outcome.Outcome) outcome.Outcome {
	switch {
	case ctx.Err() != nil || r.u.ctx.Err() != nil:
		return r.u.stopped(ctx, last)
	case r.tried:
		return last
	default:
		return gateClosed(r.gate.nextProbe())
	}
}
