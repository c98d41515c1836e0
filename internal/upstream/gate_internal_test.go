package upstream

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestTicketOfANewerGate: a call has been told to wait for a gate, and before it gets to wait that opens, closes again, and
// gives a ticket. Whoever takes the ticket is the probe: nothing brings another one.
func TestTicketOfANewerGate(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			u := &Upstream{log: slog.New(slog.DiscardHandler), budget: newBudget(), gates: map[string]*gate{}}
			u.ctx, u.cancel = context.WithCancel(context.Background())
			defer u.cancel()
			g := u.gate("/m")
			shut := func() {
				for range closeAfter {
					(&pass{gate: g}).end(failed)
				}
			}
			shut()
			_, opens := g.enter() // the call: told to wait for A, and delayed here (in Watch.Waiting, say)
			if opens == nil {
				t.Fatal("open")
			}
			(&pass{gate: g}).end(answered) // another call is answered
			shut()                         // and others fail again
			g.hasten()                     // a connection comes up: a ticket at once

			r := &run{u: u, gate: g, call: &Call{RetryFor: time.Hour}, lostAt: time.Now(), tried: true}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			p := r.queue(ctx, opens) // the call goes on
			if p != nil {
				return // it is the probe
			}
			// Somebody must become the probe within the longest pause, and much more.
			time.Sleep(10 * probeMax)
			if p, _ := g.enter(); p == nil {
				g.hasten()
				p, _ := g.enter()
				t.Fatalf("no probe after %v, nor after another connection (%v): the gate is closed for ever", 10*probeMax, p)
			}
		})
	}
}
