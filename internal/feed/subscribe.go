package feed

import (
	"bytes"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// demand is a Request and what its cursor says.
type demand struct {
	Request
	check  event.Check
	cursor event.ID
	parsed bool // the cursor is an id; else it is none, or garbage
}

// presented is the position that the client says it has reached, 0 for none.
func (d *demand) presented() event.Position { return d.cursor.Position }

// backend is the backend's cursor inside the id, where it belongs to this stream.
func (d *demand) backend() (cursor.Value, bool) {
	rule := d.Fields.cursor
	if rule == nil || !d.parsed || d.cursor.Backend == nil || d.cursor.Check != d.check {
		return cursor.Value{}, false
	}
	return rule.Decode(d.cursor.Backend)
}

func newDemand(req Request) *demand {
	d := &demand{Request: req, check: event.CheckOf(string(req.Method.Name), req.Canonical)}
	if d.Fields == nil {
		d.Fields = NewFields(req.Method)
	}
	return d
}

// parse reads the presented cursor. ended says that it is the end of a run of this stream.
func (d *demand) parse() (ended bool) {
	d.cursor, d.parsed = event.Parse(d.Cursor)
	if !d.parsed || !d.cursor.End {
		return false
	}
	if d.cursor.Check == d.check {
		return true
	}
	d.cursor, d.parsed = event.ID{}, false // the end of another stream: unknown
	return false
}

// Subscribe finds or starts the run that the request means and attaches a reader to it. The subscription must be closed.
func (f *Feed) Subscribe(req Request) (*Subscription, error) {
	d := newDemand(req)
	if err := f.recall(d); err != nil {
		return nil, err
	}
	if d.parse() {
		return nil, ErrEnded
	}
	s, err := f.subscribe(d)
	if err == nil && d.ClientID != "" {
		name := d.client()
		s.client = &name
	}
	return s, err
}

func (f *Feed) subscribe(d *demand) (*Subscription, error) {
	f.mu.Lock()
	s, err := f.joinLocked(d)
	f.mu.Unlock()
	if s != nil || err != nil {
		return s, err
	}
	if f.unknown(d) {
		if d.Strict {
			return nil, ErrEnded
		}
		if !d.Restart {
			return f.gone(d), nil
		}
	}
	return f.start(d)
}

// unknown reports whether the request presents a cursor that nothing can be made of. It is asked when no run knows it.
func (f *Feed) unknown(d *demand) bool {
	_, resumable := d.backend()
	return d.Cursor != "" && !resumable
}

// Knows reports whether the request's cursor is one that a reader can go on from.
func (f *Feed) Knows(req Request) bool {
	d := newDemand(req)
	if f.recall(d) != nil || d.parse() {
		return false
	}
	if _, ok := d.backend(); ok {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.knownLocked(d) != nil
}

// knownLocked is the run whose id the cursor is, nil for none.
func (f *Feed) knownLocked(d *demand) *run {
	if !d.parsed {
		return nil
	}
	r := f.runs[d.cursor.Mark.Run()]
	if r == nil || !r.is(d) || !r.knows(d.cursor) {
		return nil
	}
	return r
}

// knows reports whether an id of the run's leads into its log. What counts inside a snapshot is where that ends: its events
// may be older than all that the log remembers.
func (r *run) knows(id event.ID) bool {
	if s := id.Snapshot; s != 0 {
		return r.latest != nil && id.Position <= s && r.log.Holds(r.log.MarkAt(s), s)
	}
	return r.log.Holds(id.Mark, id.Position)
}

// joinLocked attaches to a run that there is; nil where there is none.
func (f *Feed) joinLocked(d *demand) (*Subscription, error) {
	if r := f.knownLocked(d); r != nil {
		if err := f.admitLocked(r); err != nil {
			return nil, err
		}
		if s := r.attachLocked(d, r.resumeLocked(d)); s != nil {
			return s, nil
		}
	}
	if d.Method.Stream.Share != schema.ShareNone {
		return f.joinSharedLocked(d)
	}
	r := f.keyed[key{principal: d.Principal, name: d.Key}]
	if d.Key == "" || r == nil {
		return nil, nil
	}
	if !r.is(d) {
		return nil, ErrKeyConflict
	}
	return r.attachLocked(d, r.keyedPlace(d)), nil
}

// joinSharedLocked attaches to the shared run that runs now; nil where there is none.
func (f *Feed) joinSharedLocked(d *demand) (*Subscription, error) {
	r := f.shared[d.StreamKey]
	// One that has just ended is not taken off the list yet.
	if r == nil || r.end.Load() != nil || f.unknown(d) && (d.Strict || !d.Restart) {
		return nil, nil
	}
	if err := f.admitLocked(r); err != nil {
		return nil, err
	}
	return r.joinSharedLocked(d), nil
}

// admitLocked says why r takes no more readers.
func (f *Feed) admitLocked(r *run) error {
	switch {
	case !r.shared:
		return nil // its readers are few, and have nowhere else to go
	case f.draining && r.end.Load() == nil:
		return &BusyError{Reason: "drain"}
	case f.maxReaders > 0 && len(r.subscriptions) >= f.maxReaders:
		return &BusyError{Reason: "limit"}
	}
	return nil
}

// start attaches to a new run.
func (f *Feed) start(d *demand) (*Subscription, error) {
	// Asked before the lock is taken: making room discards runs.
	full := f.budget.Full()
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, err := f.joinLocked(d); s != nil || err != nil { // another request with the key was faster
		return s, err
	}
	if reason := f.refuseLocked(full); reason != "" {
		return nil, &BusyError{Reason: reason}
	}
	s := f.startLocked(d)
	s.Fresh = s.then == nil
	return s, nil
}

// startLocked makes a run, gives it its first reader, and starts its pump: in this order, since a run that ends at once
// without a reader could be evicted.
func (f *Feed) startLocked(d *demand) *Subscription {
	if d.Method.Stream.Share != schema.ShareNone {
		r := f.newRunLocked(d, nil)
		s := r.joinSharedLocked(d)
		f.work.Go(r.pump)
		return s
	}
	var from *cursor.Value
	value, resumable := d.backend()
	if resumable {
		from = &value
	}
	r := f.newRunLocked(d, from)
	s := r.attachLocked(d, place{pos: r.log.Start(), resumed: resumable, unknown: d.Cursor != "" && !resumable})
	f.work.Go(r.pump)
	return s
}

// refuseLocked is why no new call is started, or empty.
func (f *Feed) refuseLocked(full bool) string {
	switch {
	case f.draining || f.ctx.Err() != nil:
		return "drain"
	case full || f.maxCalls > 0 && f.active >= f.maxCalls:
		return "overload"
	default:
		return ""
	}
}

// is reports whether the request is for the stream that r is a run of.
func (r *run) is(d *demand) bool {
	if r.request.Method.Name != d.Method.Name {
		return false
	}
	if r.shared {
		return r.request.StreamKey == d.StreamKey
	}
	return d.Method.Stream.Share == schema.ShareNone && r.request.Principal == d.Principal &&
		bytes.Equal(r.request.Canonical, d.Canonical)
}

// isOpenTo reports whether the principal may know that there is r.
func (r *run) isOpenTo(principal access.Principal) bool {
	return r.request.Method.Stream.Share == schema.SharePublic || r.request.Principal == principal
}

// gone is the answer to a cursor of a call that is no longer known and must not run again.
func (f *Feed) gone(d *demand) *Subscription {
	position := firstPosition(f.now(), d.presented(), 1)
	s := &Subscription{
		check:   d.check,
		opening: &opening{id: event.At(position, event.NewMark()), reason: reasonUnknownCursor, start: d.Method.Stream.Start},
	}
	if d.parsed {
		s.opening.id = d.cursor
	}
	s.opening.after = appendEnd(nil, event.EndAt(position+1, d.check), outcome.New(codes.NotFound,
		"the call that this cursor belongs to is no longer known, and it is not started again"))
	return s
}

// size is about how many bytes of the request a run keeps.
func (d *demand) size() int {
	n := len(d.Wire) + len(d.Canonical)
	for name, values := range d.Metadata {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

// sizeOfEvent is about how many bytes a run keeps of an event beside its record.
func (d *demand) sizeOfEvent() int {
	if rule := d.Fields.cursor; rule != nil {
		return rule.EntryBytes()
	}
	return 0
}
