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

// Subscribe finds or starts the run that the request means and attaches a reader to it. The subscription must be closed.
func (f *Feed) Subscribe(req Request) (*Subscription, error) {
	check := event.CheckOf(string(req.Method.Name), req.Canonical)
	cursor, parsed := event.Parse(req.Cursor)
	if parsed && cursor.End {
		if cursor.Check == check {
			return nil, ErrEnded
		}
		parsed = false // the end of another stream: unknown
	}
	presented := req.Cursor != ""
	// Asked before the lock is taken: making room discards runs.
	full := f.budget.Full()

	f.mu.Lock()
	defer f.mu.Unlock()
	if parsed {
		if r := f.runs[cursor.Mark]; r != nil && r.is(&req) && r.log.Holds(cursor.Position) {
			return r.attachLocked(req, cursor), nil
		}
	}
	if r := f.keyed[key{principal: req.Principal, name: req.Key}]; req.Key != "" && r != nil {
		if !r.is(&req) {
			return nil, ErrKeyConflict
		}
		s := r.attachLocked(req, event.At(r.log.Start(), r.log.Mark()))
		s.unknown(cursor, presented, parsed)
		return s, nil
	}
	if presented && !req.Restart {
		return f.gone(check, cursor, parsed), nil
	}
	if reason := f.refuseLocked(full); reason != "" {
		return nil, &BusyError{Reason: reason}
	}
	r := f.startLocked(req, check, cursor.Position)
	s := r.attachLocked(req, event.At(r.log.Start(), r.log.Mark()))
	s.Fresh = true
	s.unknown(cursor, presented, parsed)
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
func (r *run) is(req *Request) bool {
	return r.request.Principal == req.Principal && r.request.Method.Name == req.Method.Name &&
		bytes.Equal(r.request.Canonical, req.Canonical)
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
	left     bool
}

// attachLocked makes a reader that has everything up to cursor. The caller holds feed.mu.
func (r *run) attachLocked(req Request, cursor event.ID) *Subscription {
	s := &Subscription{run: r, metadata: req.Metadata, pos: cursor.Position}
	first, last := r.log.Bounds()
	s.opening = opening{id: cursor, resumed: req.Cursor != "", oldest: first + 1}
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
	r.log.Attach()
	r.stopLingerLocked()
	return s
}

// unknown adds what a client is told whose cursor could not be resumed: its own cursor as the first id, so that a cut
// right behind it leads here again, and a stream.reset.
func (s *Subscription) unknown(cursor event.ID, presented, parsed bool) {
	s.opening.resumed = false
	if !presented {
		return
	}
	s.opening.reason = reasonUnknownCursor
	if parsed {
		s.opening.id = cursor
	}
	s.after = appendReset(nil, event.At(s.pos, s.run.log.Mark()), reasonUnknownCursor, 0)
}

// gone is the answer to a cursor of a call that is no longer known and must not run again.
func (f *Feed) gone(check event.Check, cursor event.ID, parsed bool) *Subscription {
	position := firstPosition(f.now(), cursor.Position)
	s := &Subscription{opening: opening{id: event.At(position, event.NewMark()), reason: reasonUnknownCursor}}
	if parsed {
		s.opening.id = cursor
	}
	s.after = appendEnd(nil, event.EndAt(position+1, check), outcome.New(codes.NotFound,
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
	case err != nil:
		return nil, io.EOF // the end, or the run was taken away: the client comes back and is told
	}
	s.pending = next
	if records == nil && s.run.left.Load() {
		if s.left {
			return nil, io.EOF
		}
		s.left = true
		return AppendBusy(nil, drainRetry(), "drain"), nil
	}
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

// Close detaches the reader. The last one's leaving starts the run's linger, or ends a run that was given up.
func (s *Subscription) Close() {
	if s.run == nil {
		return
	}
	r := s.run
	r.log.Detach()
	if r.detach(s) && r.left.Load() {
		r.feed.discard(r)
	}
}

// detach takes the reader off the run's list and reports whether it was the last.
func (r *run) detach(s *Subscription) (last bool) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(r.subscriptions, s)
	if i < 0 {
		return false
	}
	r.subscriptions = slices.Delete(r.subscriptions, i, i+1)
	f.readers--
	if len(r.subscriptions) == 0 {
		r.lingerLocked()
	}
	f.checkIdleLocked()
	return len(r.subscriptions) == 0
}

// Forget drops the run if this is its only reader and it has no key: its end was said by an HTTP status, and nobody
// holds an id of it.
func (s *Subscription) Forget() {
	f := s.run.feed
	f.mu.Lock()
	alone := len(s.run.subscriptions) == 1 && s.run.request.Key == ""
	f.mu.Unlock()
	if alone {
		f.discard(s.run)
	}
}
