package feed

import (
	"bytes"
	"container/list"
	"sort"
	"sync"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// keyed is the newest event of one key.
type keyed struct {
	key   transcode.Value
	pos   event.Position
	frame []byte // a copy: the log may drop the record while the key stays
}

// latest remembers the newest event of every key of a run, so that who joins late begins with the state and not with
// its history.
//
//   - order and byKey hold the same events; order is by position, because what is new goes to its end.
//   - mu is held while a record is appended to the log and noted here, so that a snapshot and the log's end, taken
//     together under mu, fit: no event is in neither or in both. It is taken before the log's lock.
type latest struct {
	fields *Fields
	max    int // keys
	most   int // bytes
	budget *eventlog.Budget

	mu    sync.Mutex
	order *list.List // of *keyed
	byKey map[transcode.Value]*list.Element
	bytes int
	full  bool // a key was forgotten because there are too many, or they take too much
	// all is the events of all keys as they were collected last, nil since one has changed: readers that join in a crowd
	// share it.
	all []*keyed
}

// entryBytes is about what a key costs beside its frame.
const entryBytes = 200

func newLatest(fields *Fields, limit int, budget *eventlog.Budget) *latest {
	return &latest{
		fields: fields, max: limit, most: int(budget.Limit() / 2), budget: budget,
		order: list.New(), byKey: map[transcode.Value]*list.Element{},
	}
}

// noteLocked takes in the event that wire and frame are of. It reports whether a key had to be forgotten for the first
// time.
func (l *latest) noteLocked(wire []byte, pos event.Position, frame []byte) (overflow bool) {
	key, ok := l.fields.key.Find(wire)
	if !ok {
		return false
	}
	l.forgetLocked(l.byKey[key])
	if l.fields.keyDeleted != nil && l.fields.keyDeleted.IsSet(wire) {
		return false
	}
	l.all = nil
	l.byKey[key] = l.order.PushBack(&keyed{key: key, pos: pos, frame: bytes.Clone(frame)})
	l.holdLocked(len(frame) + entryBytes)
	for l.order.Len() > l.max || l.bytes > l.most && l.order.Len() > 1 {
		l.forgetLocked(l.order.Front())
		overflow = overflow || !l.full
		l.full = true
	}
	return overflow
}

func (l *latest) forgetLocked(e *list.Element) {
	if e == nil {
		return
	}
	l.all = nil
	k := l.order.Remove(e).(*keyed)
	delete(l.byKey, k.key)
	l.holdLocked(-len(k.frame) - entryBytes)
}

// holdLocked counts delta more bytes.
func (l *latest) holdLocked(delta int) {
	l.bytes += delta
	l.budget.Hold(delta)
}

// clearLocked forgets every key.
func (l *latest) clearLocked() {
	for l.order.Len() > 0 {
		l.forgetLocked(l.order.Front())
	}
}

// snapshot returns the newest events of all keys in order of their positions, those after after alone, and the end of
// log at the same moment. They must not be changed.
func (l *latest) snapshot(log *eventlog.Log, after event.Position) (events []*keyed, end event.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, end = log.Bounds()
	if l.all == nil && l.order.Len() > 0 {
		l.all = make([]*keyed, 0, l.order.Len())
		for e := l.order.Front(); e != nil; e = e.Next() {
			l.all = append(l.all, e.Value.(*keyed))
		}
	}
	return l.all[sort.Search(len(l.all), func(i int) bool { return l.all[i].pos > after }):], end
}

// appendSnapshot appends the frame of a snapshot that ends at end: the event's own, but for the mark of the snapshot in
// its id, by which a reader that is cut comes back into the snapshot.
func appendSnapshot(dst []byte, frame []byte, end event.Position) []byte {
	id, rest, ok := cutID(frame)
	if !ok {
		return append(dst, frame...)
	}
	id.Snapshot = end
	dst = id.Append(append(dst, "id: "...))
	return append(dst, rest...)
}

// cutID takes the id off a finished frame. rest begins with the end of its line.
func cutID(frame []byte) (id event.ID, rest []byte, ok bool) {
	after, ok := bytes.CutPrefix(frame, []byte("id: "))
	if !ok {
		return event.ID{}, nil, false
	}
	n := bytes.IndexByte(after, '\n')
	if n < 0 {
		return event.ID{}, nil, false
	}
	id, ok = event.Parse(string(after[:n]))
	return id, after[n:], ok
}
