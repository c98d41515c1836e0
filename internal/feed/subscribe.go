package feed

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// demand is a Request and what its cursor says.
type demand struct {
	Request
	check  event.Check
	cursor event.ID
	parsed bool // the cursor is an id; else it is none, or garbage
}

// Subscribe finds or starts the run that the request means and attaches a reader to it. The subscription must be closed.
func (f *Feed) Subscribe(req Request) (*Subscription, error) {
	d := &demand{Request: req, check: event.CheckOf(string(req.Method.Name), req.Canonical)}
	d.cursor, d.parsed = event.Parse(req.Cursor)
	if d.parsed && d.cursor.End {
		if d.cursor.Check == d.check {
			return nil, ErrEnded
		}
		d.parsed = false // the end of another stream: unknown
	}
	f.mu.Lock()
	s, err := f.joinLocked(d)
	f.mu.Unlock()
	switch {
	case s != nil || err != nil:
		return s, err
	case d.Cursor != "" && !d.Restart:
		return f.gone(d), nil
	}
	return f.start(d)
}

// joinLocked attaches to a run that there is; nil where there is none.
func (f *Feed) joinLocked(d *demand) (*Subscription, error) {
	if d.parsed {
		if r := f.runs[d.cursor.Mark]; r != nil && r.is(d) && r.log.Holds(d.cursor.Position) {
			if s := r.attachLocked(d, d.cursor); s != nil {
				return s, nil
			}
		}
	}
	r := f.keyed[key{principal: d.Principal, name: d.Key}]
	if d.Key == "" || r == nil {
		return nil, nil
	}
	if !r.is(d) {
		return nil, ErrKeyConflict
	}
	s := r.attachLocked(d, event.At(r.log.Start(), r.log.Mark()))
	if s != nil {
		s.unknown(d)
	}
	return s, nil
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
	r := f.newRunLocked(d)
	s := r.attachLocked(d, event.At(r.log.Start(), r.log.Mark()))
	s.Fresh = true
	s.unknown(d)
	f.work.Go(r.pump) // not before it has a reader: a run that ends at once could be evicted
	return s, nil
}

// refuseLocked is why no new call is started, or empty.
func (f *Feed) refuseLocked(full bool) string {
	switch {
	case f.draining || f.ctx.Err() != nil:
		return "drain"
	case full:
		return "overload"
	default:
		return ""
	}
}

// is reports whether the request is for the stream that r is a run of.
func (r *run) is(d *demand) bool {
	return r.request.Principal == d.Principal && r.request.Method.Name == d.Method.Name &&
		bytes.Equal(r.request.Canonical, d.Canonical)
}

// Subscription is one reader of one run: a position in its log, and what is to be said at it.
//
// Its methods are for one goroutine, but Opened and Failed, which are for any.
type Subscription struct {
	// Fresh says that this subscription started the call: there is something to wait for before a head is sent.
	Fresh bool

	run      *run // nil: nothing to read, only the opening to say
	metadata metadata.MD
	opening  opening
	after    []byte // frames that follow stream.open in the same write
	pos      event.Position
	pending  event.Position // what Next returned last
	sentBack bool           // stream.busy was said
}

// attachLocked makes a reader that has everything up to cursor; nil where the log has just been taken away. The caller
// holds feed.mu.
func (r *run) attachLocked(d *demand, cursor event.ID) *Subscription {
	r.log.Attach() // from here on the budget does not take the log; before, it may have
	if !r.log.Holds(cursor.Position) {
		return nil
	}
	s := &Subscription{run: r, metadata: d.Metadata, pos: cursor.Position}
	first, last := r.log.Bounds()
	s.opening = opening{id: cursor, resumed: d.Cursor != "", oldest: first + 1}
	if first == last {
		s.opening.oldest = 0
	}
	if s.pos < first {
		s.opening.resumed, s.opening.reason = false, reasonExpired
		s.after = appendReset(nil, event.At(first, r.log.Mark()), reasonExpired, uint64(first-s.pos))
		s.pos = first
	}
	s.pending = s.pos
	r.subscriptions = append(r.subscriptions, s)
	r.feed.readers++
	r.stopLingerLocked()
	return s
}

// unknown adds what a client is told whose cursor could not be resumed: its own cursor as the first id, so that a cut
// right behind it leads here again, and a stream.reset.
func (s *Subscription) unknown(d *demand) {
	s.opening.resumed = false
	if d.Cursor == "" {
		return
	}
	s.opening.reason = reasonUnknownCursor
	if d.parsed {
		s.opening.id = d.cursor
	}
	s.after = appendReset(nil, event.At(s.pos, s.run.log.Mark()), reasonUnknownCursor, 0)
}

// gone is the answer to a cursor of a call that is no longer known and must not run again.
func (f *Feed) gone(d *demand) *Subscription {
	position := firstPosition(f.now(), d.cursor.Position)
	s := &Subscription{opening: opening{id: event.At(position, event.NewMark()), reason: reasonUnknownCursor}}
	if d.parsed {
		s.opening.id = d.cursor
	}
	s.after = appendEnd(nil, event.EndAt(position+1, d.check), outcome.New(codes.NotFound,
		"the call that this cursor belongs to is no longer known, and it is not started again"))
	return s
}

// Opened is closed at the call's first sign of life.
func (s *Subscription) Opened() <-chan struct{} { return s.run.opened }

// Failed returns how the call ended, if it ended before its first event in a way that a status can say.
func (s *Subscription) Failed() (outcome.Outcome, bool) {
	if s.run == nil || s.run.openedLog.Load() {
		return outcome.Outcome{}, false
	}
	end := s.run.end.Load()
	if end == nil || end.Class != outcome.Permanent && !errors.Is(end.Cause, upstream.ErrPoolFull) {
		return outcome.Outcome{}, false
	}
	return *end, true
}

// Opening appends the first frames of the response: stream.open, and what must follow it in the same write.
func (s *Subscription) Opening(dst []byte, retry time.Duration) []byte {
	return append(appendOpening(dst, retry, s.opening), s.after...)
}

// Next returns the next finished frames, at most about limit bytes but at least one frame; nothing where there is
// nothing yet; io.EOF at the end. Written must be called before the next call, once they are written.
func (s *Subscription) Next(limit int) ([]byte, error) {
	if s.run == nil {
		return nil, io.EOF
	}
	records, next, err := s.run.log.Read(s.pos, limit)
	var trimmed *eventlog.TrimmedError
	switch {
	case errors.As(err, &trimmed):
		s.pending = trimmed.Oldest
		return appendReset(nil, event.At(trimmed.Oldest, s.run.log.Mark()), reasonExpired, trimmed.Missed), nil
	case errors.Is(err, io.EOF) && s.run.busy != "" && !s.sentBack:
		s.sentBack = true
		return AppendBusy(nil, busyRetry(s.run.busy), s.run.busy), nil
	case err != nil:
		return nil, io.EOF // the end, or the run was taken away: the client comes back and is told
	}
	s.pending = next
	return records, nil
}

// Written says that what Next returned last has been written.
func (s *Subscription) Written() {
	if s.run != nil && s.pending != s.pos {
		s.pos = s.pending
		s.run.log.Written(s.pos)
	}
}

// Changed returns a channel that is closed when Next or Waiting may answer otherwise.
func (s *Subscription) Changed() <-chan struct{} {
	if s.run == nil {
		return nil // Next has said io.EOF
	}
	return s.run.log.Changed(s.pos)
}

// Waiting returns the stream.waiting frame to send while the backend cannot be reached, and the number of the outage;
// nil and 0 while it can.
func (s *Subscription) Waiting() (frame []byte, outage int) {
	if s.run == nil {
		return nil, 0
	}
	o := s.run.waiting.Load()
	if o == nil {
		return nil, 0
	}
	return appendWaiting(nil, o), o.number
}

// Ageless reports that the connection must not be ended because of its age: there would be nothing to come back to.
func (s *Subscription) Ageless() bool {
	return s.run != nil && s.run.request.Method.Stream.Linger == 0 && !s.run.request.Method.Stream.UntilDone
}

// Close detaches the reader. The last one's leaving starts the run's linger, or frees a run that was given up.
func (s *Subscription) Close() {
	if s.run == nil {
		return
	}
	s.run.log.Detach()
	if s.run.detach(s) {
		s.run.log.Close()
	}
}

// detach takes the reader off the run's list and reports whether nobody reads the run and nobody can any more.
func (r *run) detach(s *Subscription) (unreachable bool) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(r.subscriptions, s)
	if i < 0 {
		return false
	}
	r.subscriptions = slices.Delete(r.subscriptions, i, i+1)
	f.readers--
	f.checkIdleLocked()
	if len(r.subscriptions) != 0 {
		return false
	}
	r.lingerLocked()
	return f.runs[r.log.Mark()] != r
}

// Forget drops the run if this is its only reader and no key names it: its end was said by an HTTP status, and nobody
// holds an id of it.
func (s *Subscription) Forget() {
	f := s.run.feed
	f.mu.Lock()
	alone := len(s.run.subscriptions) == 1 && f.keyed[s.run.key()] != s.run
	f.mu.Unlock()
	if alone {
		f.discard(s.run)
	}
}
