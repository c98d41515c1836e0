package feed

import (
	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// trimIndexEvery is after how many events the index of backend cursors drops what the log no longer holds.
const trimIndexEvery = 64

// append moves one message into the log, and what it says about keys and cursors into the run. Where it does not say that
// there is room, the log is to be asked (WaitRoom) before more is received.
func (r *run) append(m *upstream.Message) (room bool) {
	if c := r.behind; c != nil {
		// In one step for who looks whether the calls have met: an event is in this log, or behind the place where they did.
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.over {
			return false
		}
	}
	value, has := r.cursorOf()
	var pos event.Position // stays 0 where the log takes nothing any more
	build := func(dst []byte, id event.ID) []byte {
		pos = id.Position
		if has {
			id.Check, id.Backend = r.check, r.request.Fields.cursor.Encode(value)
		}
		return r.request.Encoder().AppendFrame(dst, id, m.Data)
	}
	if r.latest == nil {
		room = r.log.AppendAt(m.Received, build)
	} else {
		room = r.appendKeyed(build, m, &pos)
	}
	if pos == 0 {
		return room
	}
	if has {
		r.indexed(value, pos)
	}
	if !r.openedLog.Load() {
		r.openedLog.Store(true)
		r.open()
	}
	return room
}

// appendKeyed appends a record and takes it in as the newest of its key, in one step for who takes a snapshot.
func (r *run) appendKeyed(build func([]byte, event.ID) []byte, m *upstream.Message, pos *event.Position) (room bool) {
	r.latest.mu.Lock()
	defer r.latest.mu.Unlock()
	room = r.log.AppendAt(m.Received, build)
	frame, ok := r.log.Record(*pos)
	if *pos == 0 || !ok {
		return room
	}
	if r.latest.noteLocked(m.Data, *pos, frame) {
		r.feed.logger.Warn("a shared stream has more keys than max_keys, or they take half of what limits.log_bytes allows for "+
			"all streams; those that were quiet for longest are no longer sent to readers that join", "method", r.request.Method.Name, "max_keys", r.latest.max)
	}
	return room
}

// appendGap appends the stream.reset after which nothing continues what was before, to all readers.
func (r *run) appendGap(reason string) {
	if r.latest != nil {
		r.latest.mu.Lock()
		defer r.latest.mu.Unlock()
		r.latest.clearLocked() // the keys of another call
	}
	if r.index != nil {
		r.index.Clear() // the backend may count anew
		r.giveUpCatchUps()
	}
	r.log.Append(func(dst []byte, id event.ID) []byte { return appendReset(dst, id, reason, 0) })
}

// cursorOf is the backend's cursor of the message that was received last.
func (r *run) cursorOf() (cursor.Value, bool) {
	if r.tracker == nil {
		return cursor.Value{}, false
	}
	return r.tracker.Last()
}

// indexed makes the event findable by its cursor, and lets readers meet at it that are being caught up.
func (r *run) indexed(value cursor.Value, pos event.Position) {
	r.index.Add(value, pos)
	if r.untrimmed++; r.untrimmed >= trimIndexEvery {
		r.untrimmed = 0
		first, _ := r.log.Bounds()
		r.index.Trim(first)
	}
	if r.behind != nil {
		r.behind.reachedLocked(value, pos)
	}
	for _, c := range r.followers() {
		c.meet()
	}
}

// idAt is the id by which a client has everything up to pos: with the backend's cursor where the last event up to there
// is kept and carries one.
func (r *run) idAt(pos event.Position) event.ID {
	at := event.At(pos, r.log.MarkAt(pos))
	if record, ok := r.log.Record(pos); ok {
		if id, _, ok := cutID(record); ok && !id.End {
			at.Check, at.Backend = id.Check, id.Backend
		}
	}
	return at
}
