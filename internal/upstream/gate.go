package upstream

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

const (
	// closeAfter is how many openings in a row must have failed before a gate closes.
	closeAfter = 10

	// While a gate is closed one call at a time is opened to see whether the backend is well again: after a pause that
	// doubles from probeBase to probeMax, of which up to a half is left to chance.
	probeBase = time.Second
	probeMax  = 10 * time.Second

	// openAfter is how long a call without an answer must have lasted to count as open. One that breaks sooner failed.
	openAfter = 5 * time.Second
)

// errGateClosed is the cause of outcomes of calls that were not opened because those before them failed.
var errGateClosed = errors.New("upstream: the last openings of this method all failed")

// gate is the circuit breaker of one method. It closes when closeAfter openings in a row have failed, so that a backend
// that is unwell is not asked by all its calls again and again, and opens with the first answer.
//
//   - It is the method's, not the backend's: behind one target there may be many services, of which one is down.
//   - Only calls that got as far as a stream count. While there is no connection nothing reaches the backend.
//   - Only broken calls count as failed. A busy backend answers, and to whom it says so may be one user's fault.
//   - There is at most one of: a ticket, a timer that will bring one, a probe that took one.
type gate struct {
	log *slog.Logger

	// Leave for one probe, for whoever comes first: the closed of the gate that gave it. Buffer of 1: it waits there while
	// nobody wants it.
	tickets chan (<-chan struct{})

	mu       sync.Mutex
	failures int           // openings in a row that failed
	closed   chan struct{} // closed when the gate opens; nil while it is open
	probes   int           // how many failed since it closed
	timer    *time.Timer   // brings the next ticket
	due      time.Time     // when it does
}

func newGate(log *slog.Logger) *gate {
	return &gate{log: log, tickets: make(chan (<-chan struct{}), 1)}
}

// enter returns leave to open a call, or, while the gate is closed and another call is the probe, what is closed when it
// opens.
func (g *gate) enter() (p *pass, opens <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		return &pass{gate: g}, nil
	}
	select {
	case <-g.tickets:
		return &pass{gate: g, probeOf: g.closed}, nil
	default:
		return nil, g.closed
	}
}

// redeem returns the pass of a probe for a ticket, or nil where the gate that gave it has opened since.
func (g *gate) redeem(ticket <-chan struct{}) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != ticket {
		return nil
	}
	return &pass{gate: g, probeOf: g.closed}
}

// whenOpen returns what is closed when the gate opens; nil while it is open.
func (g *gate) whenOpen() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// nextProbe is how long it is until the next probe; 0 while the gate is open.
func (g *gate) nextProbe() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		return 0
	}
	return max(0, time.Until(g.due))
}

// hasten lets the next probe go now: a connection came up.
func (g *gate) hasten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil && g.timer.Stop() {
		g.ticketLocked()
	}
}

func (g *gate) ticketLocked() {
	g.due = time.Now()
	select {
	case g.tickets <- g.closed:
	default: // never: see gate
	}
}

// pauseLocked brings the next ticket after a pause.
func (g *gate) pauseLocked() {
	pause := probeMax
	if g.probes < 10 {
		pause = min(pause, probeBase<<g.probes)
	}
	pause = pause/2 + upTo(pause/2)
	closed := g.closed
	g.due = time.Now().Add(pause)
	g.timer = time.AfterFunc(pause, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed == closed {
			g.ticketLocked()
		}
	})
}

// result is how the opening of a call went.
type result int

const (
	unsent   result = iota // it did not get as far as the backend, or was given up: nothing is known
	answered               // the backend answered
	busy                   // it answered that it has no room
	failed                 // the call broke before an answer
)

// note takes the result of an opening into account.
func (g *gate) note(p *pass, how result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	probe := p.probeOf != nil && p.probeOf == g.closed
	switch {
	case how == answered:
		g.openLocked()
	case g.closed == nil && how == failed:
		if g.failures++; g.failures >= closeAfter {
			g.log.Warn("calls of a method keep failing: they wait until one gets an answer")
			g.closed, g.probes = make(chan struct{}), 0
			g.pauseLocked()
		}
	case probe && how == unsent:
		g.ticketLocked()
	case probe:
		if how == failed {
			g.probes++
		}
		g.pauseLocked()
	}
}

func (g *gate) openLocked() {
	g.failures = 0
	if g.closed == nil {
		return
	}
	g.log.Info("calls of a method get answers again")
	close(g.closed)
	g.closed = nil
	g.timer.Stop()
	select {
	case <-g.tickets:
	default:
	}
}

// pass is leave to open a call once. Its holder says when it is open, by begin, and how that went, by end.
type pass struct {
	gate    *gate
	probeOf <-chan struct{} // gate.closed of the gate whose probe it is; nil: of none
	budget  *budget         // the call holds one of its slots; nil: none

	mu    sync.Mutex
	began time.Time // when the call got its stream; zero: it has none
	ended bool
	timer *time.Timer // ends the wait for an answer; nil: nothing depends on that
}

// begin notes that the call has a stream.
func (p *pass) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = time.Now()
	switch {
	case p.timer != nil: // tried a second time
	case p.probeOf != nil:
		p.timer = time.AfterFunc(openAfter, func() { p.end(answered) })
	case p.budget != nil:
		p.timer = time.AfterFunc(slotHold, func() { p.letGo((*budget).giveBack) })
	}
}

// letGo gives the slot back in this way, if it is still held.
func (p *pass) letGo(how func(*budget)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget != nil {
		how(p.budget)
		p.budget = nil
	}
}

// end says how the opening went. Only the first time counts.
func (p *pass) end(how result) {
	p.mu.Lock()
	ended := p.ended
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	if ended {
		return
	}
	if how == failed || how == busy {
		p.letGo((*budget).giveBackLater)
	} else {
		p.letGo((*budget).giveBack)
	}
	p.gate.note(p, how)
}

// gateClosed is the outcome of a call that was not opened because those before it failed.
func gateClosed(tryIn time.Duration) outcome.Outcome {
	o := outcome.New(unavailable, "the backend does not answer this method now: try again later")
	o.Class, o.Cause, o.RetryDelay = outcome.Broken, errGateClosed, max(tryIn, probeBase)
	return o
}
