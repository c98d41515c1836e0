package feed

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// Bounds of catching up, for each shared run. Who does not get there within them is told that something is missing.
const (
	maxCatchUps      = 64
	maxCatchUpTime   = 30 * time.Second
	maxCatchUpEvents = 100_000
)

var (
	// errMet ends a call that has caught up with the shared one.
	errMet = errors.New("feed: caught up")
	// errTooFar ends a call that does not catch up.
	errTooFar = errors.New("feed: too far behind to catch up")
)

// catchUp is what a run knows that brings readers from a cursor of the backend's up to a shared run. The cursor is the
// clients' and untrusted, so it never decides where the shared call begins: the call at the cursor is one of its own,
// for readers who presented the same, and its log is theirs alone.
//
//	shared log            |e5|e6|e7|e8|      e5: the first event since the bridge was started
//	call at cursor 2   |e3|e4|e5|            its events have ids of their own, below those of the shared log's generation
//	                           ^ met: readers go on in the shared log, with e6
//
// Where the shared log had events before the reader came whose ids lie above the shared log's, a new generation was begun
// (run.rise): the reader is brought those events by its own call, under ids of its own, up to the end of the older one.
type catchUp struct {
	run    *run // the call at the cursor
	shared *run
	from   cursor.Value

	// mu is held while an event is appended to the call's log. It is taken before the logs' locks.
	mu     sync.Mutex
	last   cursor.Value // of the event received last, at first the cursor that the call was opened at
	at     event.Position
	events int
	limit  *time.Timer // runs since the shared call has brought an event, or has ended; nil before
	over   bool        // met, or given up
	met    event.Position
}

// reachedLocked notes that the call has brought the event with the cursor value, at pos.
func (c *catchUp) reachedLocked(value cursor.Value, pos event.Position) {
	c.last, c.at = value, pos
	c.events++
	c.meetLocked()
	// Ids rise, also from this log to the shared one.
	start, _ := c.shared.log.Generation()
	if full := pos+1 >= start; !c.over && (full || c.events >= maxCatchUpEvents) {
		c.endLocked(errTooFar)
	}
}

// meet looks whether the shared log has come to hold the event where the call stands.
func (c *catchUp) meet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meetLocked()
}

// meet is where a reader that has everything up to the backend's cursor v goes on in the run, if the run has come to v:
// the highest position that means this.
func (r *run) meet(v cursor.Value) (event.Position, bool) {
	pos, ok := r.index.Floor(v)
	return r.log.Onward(pos), ok
}

func (c *catchUp) meetLocked() {
	if c.over {
		return
	}
	met, ok := c.shared.meet(c.last)
	if ok && met > c.at {
		c.met = met
		c.endLocked(errMet)
		return
	}
	// While the shared call brings nothing either there is nothing to meet at, and nothing to miss.
	_, _, indexed := c.shared.index.Last()
	if (indexed || c.shared.openedLog.Load() || c.shared.end.Load() != nil) && c.limit == nil {
		c.limit = time.AfterFunc(maxCatchUpTime, c.giveUp)
	}
}

// giveUp lets the readers go on in the shared run as ones that are too late.
func (c *catchUp) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.endLocked(errTooFar)
	}
}

// giveUpCatchUps ends what leads readers to events of r by their cursors: those no longer say where the events are.
func (r *run) giveUpCatchUps() {
	for _, c := range r.followers() {
		c.giveUp()
	}
	if r.behind != nil {
		r.behind.giveUp()
	}
}

// endLocked ends the call; its pump then seals the log.
func (c *catchUp) endLocked(cause error) {
	c.over = true
	c.stopLocked()
	c.run.cancel(cause)
}

func (c *catchUp) stopLocked() {
	if c.limit != nil {
		c.limit.Stop()
	}
}

// handOver decides what readers do at the end of the call: it reports false where they are told its end, or to come back
// to another bridge or when there is room, as with any other call.
func (c *catchUp) handOver(o outcome.Outcome) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.stopLocked()
	return o.Class != outcome.End && !errors.Is(o.Cause, errLeaving) && !c.run.unbegun(o)
}

// hop is where a reader goes on in the shared run: behind the event met, or, met being 0, as one that is too late.
func (c *catchUp) hop() (met event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.met
}

// followers are the calls that bring readers up to r.
func (r *run) followers() []*catchUp {
	r.catchUpMu.Lock()
	defer r.catchUpMu.Unlock()
	return r.catchUps
}

// catchUpLocked finds or makes the call that brings a reader from its backend cursor up to the shared run r; nil where
// there may be none. The caller holds feed.mu.
func (f *Feed) catchUpLocked(r *run, d *demand, from cursor.Value) *run {
	r.rise(d.presented(), maxCatchUpEvents)
	if start, _ := r.log.Generation(); d.presented() >= start {
		return nil // ids could not rise
	}
	for _, c := range r.followers() {
		start := c.run.log.Start()
		oldest, _ := c.run.log.Bounds()
		running := c.run.ctx.Err() == nil && c.run.end.Load() == nil // who came last may just have left
		if c.from == from && start >= d.cursor.Position && oldest == start && running {
			return c.run
		}
	}
	if len(r.followers()) >= maxCatchUps || f.maxCalls > 0 && f.active >= f.maxCalls {
		return nil
	}
	return f.newCatchUpLocked(r, d, from)
}

// newCatchUpLocked makes the call. No id leads to it, only the backend's cursor: who is cut while it runs is caught up
// from where it was cut.
func (f *Feed) newCatchUpLocked(shared *run, d *demand, from cursor.Value) *run {
	r := f.makeRunLocked(d, runOptions{mode: eventlog.Paced, first: d.cursor.Position + 1, from: &from})
	c := &catchUp{run: r, shared: shared, from: from, last: from, at: r.log.Start()}
	r.behind = c
	shared.catchUpMu.Lock()
	// A new list: followers hands the old one out.
	shared.catchUps = append(slices.Clip(shared.catchUps), c)
	shared.catchUpMu.Unlock()
	c.meet()
	f.work.Go(r.pump)
	return r
}

// unlist takes an ended call off the list of its shared run.
func (c *catchUp) unlist() {
	c.shared.catchUpMu.Lock()
	defer c.shared.catchUpMu.Unlock()
	c.shared.catchUps = slices.DeleteFunc(slices.Clone(c.shared.catchUps), func(o *catchUp) bool { return o == c })
}
