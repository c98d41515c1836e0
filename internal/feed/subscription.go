package feed

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// maxFalls is how often a reader of a shared call may fall out of the log, without reaching its end in between, before
// it is moved there.
const maxFalls = 3

// Subscription is one reader of one run: a position in its log, and what is to be said at it.
//
// Its methods are for one goroutine, but Opened and Failed, which are for any. There are as many as there are readers, so
// it is small.
type Subscription struct {
	run      *run        // what is read; nil: nothing, there is only the opening to say
	then     *run        // the shared run that a reader goes on with that is being caught up; else nil
	metadata metadata.MD // goes with the call
	client   *client     // whose cursor is kept; else nil
	number   uint64      // in the order in which they attached
	opening  *opening    // nil: it has been said

	place
	pending event.Position // what Next returned last
	told    int32          // how many events of the snapshot Next returned last; -1: the last of them and the bookmark
	falls   int32          // times that it fell out of the log since it was at its end

	check    event.Check
	strict   bool        // the request was (Request.Strict)
	records  bool        // Next returned records of the log last
	sentBack bool        // stream.busy was said
	leaving  atomic.Bool // to be told to come back elsewhere
	// Fresh says that the call has just been started: there is something to wait for before a head is sent.
	Fresh bool
}

// Opened is closed at the call's first sign of life.
func (s *Subscription) Opened() <-chan struct{} { return s.run.opened }

// Failed returns how the call ended, if it ended before its first event in a way that a status can say.
func (s *Subscription) Failed() (outcome.Outcome, bool) {
	if s.run == nil || s.run.openedLog.Load() || s.then != nil {
		return outcome.Outcome{}, false
	}
	end := s.run.end.Load()
	if end == nil || end.Class != outcome.Permanent && !errors.Is(end.Cause, upstream.ErrPoolFull) {
		return outcome.Outcome{}, false
	}
	return *end, true
}

// Finished reports whether the reader has been shown all of a call that ended well, and only that is left to say: shows
// tells of finished frames whether the reader is shown any of them, a good end left aside.
func (s *Subscription) Finished(shows func(frames []byte) bool) bool {
	if s.run == nil || s.then != nil || s.opening != nil && s.opening.reason != "" { // something is missing
		return false
	}
	end := s.run.end.Load()
	if end == nil || end.Class != outcome.End {
		return false
	}
	if s.snapshot != nil {
		for _, k := range s.snapshot.events {
			if shows(k.frame) {
				return false
			}
		}
	}
	for pos := s.pos; ; {
		const atOnce = 64 << 10
		records, next, err := s.run.log.Read(pos, atOnce)
		switch {
		case errors.Is(err, io.EOF):
			return s.run.busy == "" && !s.run.handedOver // written before the log was sealed
		case err != nil || len(records) == 0 || shows(records):
			return false
		}
		pos = next
	}
}

// EndID is the id of a frame after which the stream has ended for this reader.
func (s *Subscription) EndID(pos event.Position) event.ID { return event.EndAt(pos, s.check) }

// Opening appends the first frames of the response: stream.open, and what must follow it in the same write.
func (s *Subscription) Opening(dst []byte, retry time.Duration) []byte {
	o := s.opening
	s.opening = nil // readers are many, and stay for long
	if s.run == nil {
		return append(appendOpening(dst, retry, o), o.after...)
	}
	if o.id.IsZero() {
		o.id = s.begin()
	}
	if s.client != nil {
		id := o.id
		if o.reason != "" {
			id = s.begin() // what was presented leads nowhere
		}
		s.run.feed.clients.remember(*s.client, id)
	}
	dst = appendOpening(dst, retry, o)
	if o.reason != "" {
		dst = appendReset(dst, s.begin(), o.reason, s.missed)
	}
	return dst
}

// settle fixes where reading begins, so that it can be given to the client: the start of a generation that has no event
// yet may have moved since the reader attached.
func (s *Subscription) settle() {
	s.pos = s.run.log.Settle(s.pos)
	s.pending = s.pos
	if s.snapshot != nil {
		s.snapshot.end = s.pos
	}
}

// Next returns the next finished frames, at most about limit bytes but at least one frame; nothing where there is
// nothing yet; io.EOF at the end. Written must be called before the next call, once they are written.
func (s *Subscription) Next(limit int) ([]byte, error) {
	s.records = false
	if s.run == nil {
		return nil, io.EOF
	}
	if s.leaving.Load() {
		return s.sendBack("drain")
	}
	if s.snapshot != nil {
		return s.nextOfSnapshot(limit), nil
	}
	records, next, err := s.run.log.Read(s.pos, limit)
	var trimmed *eventlog.TrimmedError
	switch {
	case err == nil:
		if len(records) == 0 {
			s.falls = 0
		}
		s.pending, s.records = next, true
		return records, nil
	case errors.As(err, &trimmed):
		return s.fall(trimmed), nil
	case errors.Is(err, io.EOF) && s.then != nil && s.run.handedOver:
		if reset := s.hop(); reset != nil {
			return reset, nil
		}
		return s.Next(limit)
	case errors.Is(err, io.EOF) && s.run.busy != "":
		return s.sendBack(s.run.busy)
	default:
		return nil, io.EOF // the end, or the run was taken away: the client comes back and is told
	}
}

// sendBack says stream.busy, once.
func (s *Subscription) sendBack(reason string) ([]byte, error) {
	if s.sentBack {
		return nil, io.EOF
	}
	s.sentBack = true
	return AppendBusy(nil, BusyRetry(reason), reason), nil
}

// nextOfSnapshot returns the next events of the snapshot; behind the last one a bookmark closes it.
func (s *Subscription) nextOfSnapshot(limit int) []byte {
	var dst []byte
	n := 0
	for n < len(s.snapshot.events) && (n == 0 || len(dst) < limit) {
		dst = appendSnapshot(dst, s.snapshot.events[n].frame, s.snapshot.end)
		n++
	}
	s.told = int32(n)
	if n == len(s.snapshot.events) {
		dst = appendBookmark(dst, s.run.idAt(s.snapshot.end))
		s.told = -1
	}
	return dst
}

// fall goes on after events that were trimmed before the reader had them, and says so. A call of one's own goes on with
// the oldest event kept. So does a shared one, unless it begins with a snapshot, or goes on and the reader does not keep up
// at all.
func (s *Subscription) fall(trimmed *eventlog.TrimmedError) []byte {
	s.place = place{pos: trimmed.Oldest, missed: trimmed.Missed}
	s.falls++
	if s.run.shared {
		latest := s.run.request.Method.Stream.Start == schema.StartLatestPerKey
		switch {
		case latest && s.run.latest != nil:
			s.place = s.run.startPlace()
		case s.falls >= maxFalls && s.run.end.Load() == nil:
			_, last := s.run.log.Bounds()
			s.place = place{pos: last, missed: trimmed.Missed + s.run.log.Between(trimmed.Oldest, last)}
			s.falls = 0
		}
	}
	s.pending = s.pos
	s.run.skipped(s.pos)
	return appendReset(nil, s.begin(), reasonExpired, s.missed)
}

// hop goes on in the shared run: with the event after the one where the two calls met, or, where they did not meet in
// time, like a reader whose cursor is no longer good. It returns what is said about that.
func (s *Subscription) hop() (reset []byte) {
	behind := s.run
	s.run.feed.mu.Lock() // sendAway looks at them
	s.run, s.then = s.then, nil
	s.run.feed.mu.Unlock()
	behind.log.Detach()
	if behind.detach(s) {
		behind.close()
	}
	met := behind.behind.hop()
	if met == 0 {
		s.place = s.run.startPlace()
		reset = appendReset(nil, s.begin(), reasonExpired, 0)
	} else {
		s.place = place{pos: met}
	}
	s.pending = s.pos
	s.run.skipped(s.pos)
	return reset
}

// Written says that what Next returned last has been written.
func (s *Subscription) Written() {
	switch {
	case s.run == nil:
	case s.snapshot != nil && s.told > 0:
		s.snapshot.events, s.told = s.snapshot.events[s.told:], 0
	case s.snapshot != nil && s.told < 0:
		s.snapshot, s.told = nil, 0
	case s.pending != s.pos:
		s.pos = s.pending
		s.run.log.Written(s.pos)
	}
}

// Short says that only the first n bytes of what Next returned last were written, and returns what must be before Written
// is called: of records the rest of the one that was begun, so that a reader who is stuck holds nothing of the log.
func (s *Subscription) Short(frames []byte, n int) (rest []byte) {
	if !s.records {
		return frames[n:]
	}
	at, end, ok := s.run.log.Within(s.pos, n)
	if !ok {
		return frames[n:]
	}
	s.pending = at
	return frames[n:end]
}

// Topic is what to watch for a change of what Next or Waiting answers: the log. Next may go on in another one.
func (s *Subscription) Topic() eventlog.Topic {
	if s.run == nil {
		return nil
	}
	return s.run.log
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
	if s.run == nil {
		return false
	}
	m := &s.run.request.Method.Stream
	return m.Linger == 0 && !m.UntilDone && m.Resume == nil
}

// Close detaches the reader. The last one's leaving starts the run's linger, or frees a run that was given up.
func (s *Subscription) Close() {
	for _, r := range []*run{s.run, s.then} {
		if r == nil {
			continue
		}
		r.log.Detach()
		if r.detach(s) {
			r.close()
		}
	}
	if s.run != nil {
		s.run.feed.left()
	}
}

// left takes a reader off the account.
func (f *Feed) left() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	f.checkIdleLocked()
}

// detach takes the reader off the run's list and reports whether nobody reads the run and nobody can any more.
func (r *run) detach(s *Subscription) (unreachable bool) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := r.subscriptions[s]; !ok {
		return false
	}
	delete(r.subscriptions, s)
	if len(r.subscriptions) != 0 {
		return false
	}
	if r.behind != nil { // nobody comes back to it
		r.cancel(errDiscarded)
		return true
	}
	r.lingerLocked()
	return f.runs[r.name()] != r
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
