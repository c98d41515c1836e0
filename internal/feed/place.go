package feed

import (
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// place is where a reader begins in a run, and how it got there.
type place struct {
	pos      event.Position
	snapshot *snapshot // newest events of keys that come before what follows pos; nil for none
	resumed  bool      // the presented cursor is continued
	unknown  bool      // a cursor was presented that is not continued, because nobody knows it
	expired  bool      // it is not continued, because not all that follows it is kept
	missed   uint64    // how many events that is; 0: not known
}

// snapshot is the newest events of a run's keys, for one reader.
type snapshot struct {
	events []*keyed       // those not written yet
	end    event.Position // the log's end when the snapshot was taken; the log goes on behind it
}

// resumeLocked is the place of a reader whose cursor is one of this run's.
func (r *run) resumeLocked(d *demand) place {
	from := d.cursor.Position
	if s := d.cursor.Snapshot; s != 0 {
		from = s
	}
	first, _ := r.log.Bounds()
	missed := r.log.Between(from, first)
	switch {
	case missed == 0 && d.cursor.Snapshot != 0:
		// Keys that have changed since the snapshot was taken come behind it, with their newer events.
		events, _ := r.latest.snapshot(r.log, d.cursor.Position)
		for i, k := range events {
			if k.pos > from {
				events = events[:i]
				break
			}
		}
		return place{pos: from, snapshot: &snapshot{events: events, end: from}, resumed: true}
	case missed == 0:
		return place{pos: from, resumed: true}
	case r.shared && r.end.Load() == nil:
		p := r.startPlace()
		p.expired = true
		if p.snapshot == nil {
			p.missed = r.log.Between(from, p.pos)
		}
		return p
	default:
		return place{pos: first, expired: true, missed: missed}
	}
}

// keyedPlace is the place of a reader whose key names the run, and whose cursor, if it has one, is not an id of it. It is
// the run's start. Where the call was opened at the very cursor of the backend's that the reader presents, that is where
// the reader goes on: browsers repeat a request that was cut before its first byte.
func (r *run) keyedPlace(d *demand) place {
	value, ok := d.backend()
	resumed := ok && r.from != nil && *r.from == value
	return place{pos: r.log.Start(), resumed: resumed, unknown: d.Cursor != "" && !resumed}
}

// startPlace is where a reader of a shared run begins that has no cursor to go on from.
func (r *run) startPlace() place {
	first, last := r.log.Bounds()
	switch r.request.Method.Stream.Start {
	case schema.StartEarliest:
		return place{pos: first}
	case schema.StartLatestPerKey:
		events, end := r.latest.snapshot(r.log, 0)
		return place{pos: end, snapshot: &snapshot{events: events, end: end}}
	default:
		return place{pos: last}
	}
}

// rise sees to it that ids rise for a reader that presents a position which the run does not know, from before a restart
// of the bridge or of another one: what the log takes next gets positions above presented, with room events in between.
// A position that lies too far ahead of the clock does nothing.
//
// It is what comes next that rises. A reader that begins with older events, by EARLIEST or LATEST_PER_KEY, is sent them
// under the ids that they have: those may lie below the presented one, and go up again from the stream.reset on that
// says so. One event with an id for each reader would be worse.
func (r *run) rise(presented, room event.Position) {
	if presented == 0 {
		return
	}
	start, last := r.log.Generation()
	if presented < last && presented+room <= start {
		return
	}
	reached := max(presented, last)
	if above := firstPosition(r.feed.now(), reached, headroom); above > reached {
		r.log.Advance(above)
	}
}

// joinSharedLocked attaches a reader whose cursor, if it has one, is not an id of this run's.
func (r *run) joinSharedLocked(d *demand) *Subscription {
	r.rise(d.presented(), 0)
	from, resumable := d.backend()
	if !resumable {
		p := r.startPlace()
		p.unknown = d.Cursor != ""
		return r.attachLocked(d, p)
	}
	first, _ := r.log.Bounds()
	if met, ok := r.meet(from); ok && met >= first && met >= d.presented() {
		return r.attachLocked(d, place{pos: met, resumed: true})
	}
	var s *Subscription
	if behind := r.feed.catchUpLocked(r, d, from); behind != nil {
		s = behind.attachLocked(d, place{pos: behind.log.Start(), resumed: true})
	}
	if s == nil {
		p := r.startPlace()
		p.expired = true
		return r.attachLocked(d, p)
	}
	s.then = r
	r.log.Attach()
	r.subscriptions[s] = struct{}{}
	r.stopLingerLocked()
	return s
}

// attachLocked makes a reader at p; nil where the log has just been taken away. The caller holds feed.mu.
func (r *run) attachLocked(d *demand, p place) *Subscription {
	r.log.Attach() // from here on the budget does not take the log; before, it may have
	if !r.log.Holds(r.log.MarkAt(p.pos), p.pos) {
		r.log.Detach()
		return nil
	}
	r.skipped(p.pos)
	s := &Subscription{run: r, check: r.check, metadata: d.Metadata, strict: d.Strict, place: p, pending: p.pos}
	first, last := r.log.Bounds()
	s.opening = &opening{resumed: p.resumed, oldest: first + 1, start: r.request.Method.Stream.Start}
	if first == last {
		s.opening.oldest = 0
	}
	switch {
	case p.unknown:
		s.opening.reason = reasonUnknownCursor
	case p.expired:
		s.opening.reason = reasonExpired
	}
	if d.parsed {
		s.opening.id = d.cursor
	}
	s.Fresh = r.shared && d.Cursor == "" && !r.isOpen()
	r.subscriptions[s] = struct{}{}
	r.feed.readers++
	r.feed.attached++
	s.number = r.feed.attached
	r.stopLingerLocked()
	return s
}

// skipped says that a reader goes on at pos. While the budget is short a shared call waits until somebody was sent its
// newest event; who was placed behind that never will be.
func (r *run) skipped(pos event.Position) {
	if r.shared {
		r.log.Written(pos)
	}
}

// isOpen reports whether the call has shown a sign of life.
func (r *run) isOpen() bool {
	select {
	case <-r.opened:
		return true
	default:
		return false
	}
}

// begin is the id by which reading begins at the subscription's place. It is settled: it goes to the client.
func (s *Subscription) begin() event.ID {
	s.settle()
	if snap := s.snapshot; snap != nil {
		id := event.ID{Position: snap.end, Mark: s.run.log.MarkAt(snap.end), Snapshot: snap.end}
		if len(snap.events) > 0 {
			id.Position = snap.events[0].pos - 1
			id.Mark = s.run.log.MarkAt(id.Position)
		}
		return id
	}
	return s.run.idAt(s.pos)
}
