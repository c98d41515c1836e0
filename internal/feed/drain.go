package feed

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// BeginDrain starts nothing new from now on: who asks for it is to come back.
func (f *Feed) BeginDrain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining = true
	f.checkIdleLocked()
}

// Drain waits, after BeginDrain, until every call has ended and every reader has left, or the window is over. Readers that
// lose nothing by going on elsewhere, or are told there what they have lost (of calls with a cursor of the backend's, and
// of shared calls) are told to come back, one after the other, all along the window. When it is over, calls that may run
// again elsewhere are given up, their readers told to come back, and the others end with UNAVAILABLE. It returns when the
// readers have left, at most grace later.
func (f *Feed) Drain(window, grace time.Duration) {
	f.BeginDrain()
	f.mu.Lock()
	movable := f.movableLocked()
	f.mu.Unlock()
	end := time.NewTimer(window)
	defer end.Stop()
	if f.sendAway(movable, window, end.C) {
		return
	}
	for _, r := range f.snapshot() {
		r.leave()
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case <-f.idle:
	case <-last.C:
	}
}

// departuresEvery is how often readers are told: whoever else reads the same stream has to look, too.
const departuresEvery = 50 * time.Millisecond

// departure is when a reader is told to leave.
type departure struct {
	reader *Subscription
	at     time.Duration
}

// sendAway tells readers to leave, spread over the first nine tenths of the window, and then waits for its end. It
// reports whether nothing is left before that.
func (f *Feed) sendAway(readers []*Subscription, window time.Duration, end <-chan time.Time) (idle bool) {
	departures := make([]departure, len(readers))
	for i, s := range readers {
		departures[i] = departure{reader: s, at: rand.N(max(window*9/10, 1))}
	}
	slices.SortFunc(departures, func(a, b departure) int { return int(a.at - b.at) })
	began := time.Now()
	for {
		var next <-chan time.Time
		if len(departures) > 0 {
			next = time.After(departures[0].at - time.Since(began))
		}
		select {
		case <-f.idle:
			return true
		case <-end:
			return false
		case <-next:
			until := time.Since(began) + departuresEvery
			n := slices.IndexFunc(departures, func(d departure) bool { return d.at > until })
			if n < 0 {
				n = len(departures)
			}
			f.tellToLeave(departures[:n])
			departures = departures[n:]
		}
	}
}

// tellToLeave makes the readers' Next say that they are to come back, which they will elsewhere.
func (f *Feed) tellToLeave(leaving []departure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	logs := map[*eventlog.Log]struct{}{}
	for _, d := range leaving {
		d.reader.leaving.Store(true)
		logs[d.reader.run.log] = struct{}{}
	}
	for l := range logs {
		l.Wake()
	}
}

// movableLocked is the readers that lose nothing by going on elsewhere, or are told there what they have lost.
func (f *Feed) movableLocked() []*Subscription {
	var found []*Subscription
	for _, r := range f.runs {
		m := &r.request.Method.Stream
		for s := range r.subscriptions {
			if m.Resume != nil || m.Share != schema.ShareNone && !s.strict {
				found = append(found, s)
			}
		}
	}
	return found
}
