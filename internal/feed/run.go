package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

const cancelledCode = codes.Canceled

var (
	// errDiscarded ends a call that nobody can come back to.
	errDiscarded = errors.New("feed: the run was discarded")
	// errLeaving ends a call that may run again elsewhere, because the bridge ends.
	errLeaving = errors.New("feed: the bridge is leaving")
)

// errShuttingDown ends a call because the bridge ends.
func errShuttingDown() error {
	return outcome.New(codes.Unavailable, "the bridge is shutting down").Err()
}

// run is one call and its log.
type run struct {
	feed    *Feed
	request Request // of who started it
	check   event.Check
	shared  bool
	log     *eventlog.Log
	ctx     context.Context
	cancel  context.CancelCauseFunc

	// opened is closed at the call's first sign of life: the backend's headers, a message, or its end.
	opened    chan struct{}
	openOnce  sync.Once
	openedLog atomic.Bool // a message was appended
	waiting   atomic.Pointer[outage]
	outages   int // counts the outages so far; the pump's own
	end       atomic.Pointer[outcome.Outcome]
	evicted   atomic.Bool // the budget took the log
	busy      string      // why readers are told to come back in place of an end, or empty; set before the log is sealed

	from      *cursor.Value   // where the call was opened, by the backend's cursor; nil: as requested
	latest    *latest         // the newest event of every key; nil where nobody begins with them
	tracker   *cursor.Tracker // follows the backend's cursor, the pump's own; nil where there is none
	index     *cursor.Index   // the events by the backend's cursor; nil as well
	untrimmed int             // events since the index was trimmed; the pump's own

	behind     *catchUp // of a call that brings readers up to a shared one; else nil
	handedOver bool     // its readers go on in the shared run; set before the log is sealed
	// catchUpMu guards catchUps, the calls that bring readers up to this run. The list itself is never changed, only
	// replaced.
	catchUpMu sync.Mutex
	catchUps  []*catchUp

	// Guarded by feed.mu.
	subscriptions map[*Subscription]struct{}
	linger        *time.Timer // runs while nobody reads
}

// outage is a time during which the backend cannot be reached.
type outage struct {
	number int // counts the outages of its run, from 1
	upstream.Waiting
}

// runOptions is what runs differ in.
type runOptions struct {
	mode  eventlog.Mode
	first event.Position
	from  *cursor.Value // where the call is opened, by the backend's cursor; nil: as requested
}

// newRunLocked makes the run that a request without a usable log starts; its pump makes the call. The caller holds
// feed.mu.
func (f *Feed) newRunLocked(d *demand, from *cursor.Value) *run {
	s := &d.Method.Stream
	o := runOptions{first: firstPosition(f.now(), d.presented(), 1), from: from}
	switch {
	case s.Share != schema.ShareNone:
		o.mode, o.first = eventlog.Shared, firstPosition(f.now(), d.presented(), headroom)
	case s.UntilDone:
		o.mode = eventlog.Newest
	}
	r := f.makeRunLocked(d, o)
	f.runs[r.name()] = r
	switch {
	case r.shared:
		f.shared[d.StreamKey] = r
		if s.Start == schema.StartLatestPerKey {
			r.latest = newLatest(d.Fields, s.MaxKeys, f.budget)
		}
	case d.Key != "":
		f.keyed[r.key()] = r
	}
	return r
}

func (f *Feed) makeRunLocked(d *demand, o runOptions) *run {
	s := &d.Method.Stream
	r := &run{
		feed: f, request: d.Request, check: d.check, shared: o.mode == eventlog.Shared, opened: make(chan struct{}), from: o.from,
		subscriptions: map[*Subscription]struct{}{},
	}
	r.log = eventlog.New(eventlog.Options{
		Limits: eventlog.Limits{Age: s.Retention.Age, Events: s.Retention.Events, Bytes: s.Retention.Bytes},
		Mode:   o.mode,
		First:  o.first,
		Mark:   event.NewMark(),
		Budget: f.budget,
		Beside: d.size(), BesideRecord: d.sizeOfEvent(),
		// Called with locks held that are taken under feed.mu elsewhere: the sweeper does the rest.
		Evicted: func() { r.evicted.Store(true) },
		Now:     f.logClock,
	})
	r.follow()
	r.ctx, r.cancel = context.WithCancelCause(f.ctx)
	f.active++
	return r
}

// follow makes what keeps account of the backend's cursor.
func (r *run) follow() {
	rule := r.request.Fields.cursor
	if rule == nil {
		return
	}
	r.index = rule.NewIndex()
	o := cursor.TrackerOptions{
		Holds: func(v cursor.Value) bool { _, ok := r.index.Find(v); return ok },
		Broken: func(reason string) {
			r.feed.logger.Warn("the backend breaks the rules of its cursor; the call goes on as one without",
				"method", r.request.Method.Name, "reason", reason)
			r.giveUpCatchUps()
		},
	}
	if r.from != nil {
		o.From, o.HasFrom = *r.from, true
	}
	r.tracker = rule.Track(r.request.Wire, o)
}

// maxAhead is how far ahead of the clock a presented position may push the numbering: one forged id must not end it.
const maxAhead = 10 * time.Minute

// headroom is how far above a presented position a shared run begins: below it is room for the events with which the
// client is brought up to it, and for those of other clients that present a little more.
const headroom = 1 << 20

// firstPosition is the position before the first event of a new generation: the wall clock in microseconds, and at least
// room above what the client has presented. The clock only keeps numbers rising; the mark decides what is known.
func firstPosition(now time.Time, presented, room event.Position) event.Position {
	clock := event.Position(max(now.UnixMicro(), 0))
	if presented+room > clock && presented <= clock+event.Position(maxAhead.Microseconds()) {
		return presented + room
	}
	return clock
}

// name is what all ids of the run have in common.
func (r *run) name() event.Run { return r.log.Mark().Run() }

func (r *run) key() key { return key{principal: r.request.Principal, name: r.request.Key} }

// pump moves the call's messages into the log until the call ends.
func (r *run) pump() {
	defer r.cancel(nil)
	r.seal(r.receive())
}

func (r *run) receive() outcome.Outcome {
	for m, err := range r.request.Caller.Stream(r.ctx, r.call()) {
		if err != nil {
			return r.endOf(err)
		}
		if r.waiting.Load() != nil { // which costs less than to store
			r.waiting.Store(nil)
		}
		switch {
		case r.behind != nil && (m.Restarted != nil || m.Expired):
			return outcome.Of(errTooFar) // its readers are better off with the shared run
		case m.Restarted != nil:
			r.appendGap(reasonUpstreamRestarted)
			continue
		case m.Expired:
			r.appendGap(reasonExpired)
			continue
		}
		if room := r.append(&m); room && r.ctx.Err() == nil {
			continue
		}
		m.Hold()
		if err := r.log.WaitRoom(r.ctx); err != nil {
			return r.endOf(err)
		}
	}
	return outcome.Outcome{}
}

func (r *run) call() upstream.Call {
	s := &r.request.Method.Stream
	call := upstream.Call{
		Method:          r.request.Method.Path,
		Request:         r.request.Wire,
		Metadata:        r.metadata,
		MaxMessageBytes: s.MaxMessageBytes,
		IdleTimeout:     s.IdleTimeout,
		RetryFor:        s.RetryFor,
		Restart:         r.request.Restart,
		Watch:           upstream.Watcher{Opened: r.live, Waiting: r.wait},
	}
	if r.tracker != nil {
		call.Resume = r.tracker
	}
	return call
}

// metadata is what the call is opened with: that of the reader who attached last and still reads, since its credentials
// are the freshest.
func (r *run) metadata() metadata.MD {
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	var newest *Subscription
	for s := range r.subscriptions {
		if newest == nil || s.number > newest.number {
			newest = s
		}
	}
	if newest != nil {
		return newest.metadata
	}
	return r.request.Metadata
}

// endOf is the outcome that readers are told: why the call was cancelled, if it was, else how it ended.
func (r *run) endOf(err error) outcome.Outcome {
	if cause := context.Cause(r.ctx); cause != nil {
		return outcome.Of(cause)
	}
	if errors.Is(err, eventlog.ErrBudget) {
		return outcome.New(codes.ResourceExhausted, "the stream was given up: the bridge's memory for logs is used up")
	}
	return outcome.Of(err)
}

// live says that the backend answers.
func (r *run) live() {
	r.waiting.Store(nil)
	r.open()
}

func (r *run) open() { r.openOnce.Do(func() { close(r.opened) }) }

// wait says that the backend cannot be reached and when it is tried again.
func (r *run) wait(w upstream.Waiting) {
	if r.waiting.Load() == nil {
		r.outages++
	}
	r.waiting.Store(&outage{number: r.outages, Waiting: w})
	r.log.Wake()
}

// seal writes the end into the log and lets go of what the call held.
func (r *run) seal(o outcome.Outcome) {
	r.waiting.Store(nil)
	r.end.Store(&o)
	if r.behind != nil {
		r.handedOver = r.behind.handOver(o)
		r.behind.unlist()
	}
	if r.busy = r.comeBack(o); r.busy == "" && !r.handedOver {
		r.log.SealWith(func(dst []byte, id event.ID) []byte {
			return appendEnd(dst, event.EndAt(id.Position, r.check), o)
		})
	} else {
		r.log.Seal()
	}
	for _, c := range r.followers() {
		c.meet() // from now on there is a limit
	}
	r.open()
	if o.Class != outcome.End && r.busy == "" && !r.handedOver && !errors.Is(context.Cause(r.ctx), errDiscarded) {
		r.feed.logger.Warn("stream ended", "method", r.request.Method.Name, "code", outcome.CodeName(o.Code()),
			"message", o.Status.Message(), "cause", o.Cause)
	}
	if r.release(o) {
		r.close()
	}
}

// close frees what the run keeps.
func (r *run) close() {
	r.log.Close()
	if r.latest != nil {
		r.latest.mu.Lock()
		defer r.latest.mu.Unlock()
		r.latest.clearLocked()
	}
}

// comeBack is why readers are told to come back for another run of the call, empty where they are told its end.
func (r *run) comeBack(o outcome.Outcome) string {
	switch {
	case r.handedOver:
		return ""
	case errors.Is(o.Cause, errLeaving):
		return "drain"
	case r.unbegun(o) && (r.request.Restart || r.behind != nil):
		return "overload"
	default:
		return ""
	}
}

// unbegun reports whether the call found no room at the backend: nothing of it exists.
func (r *run) unbegun(o outcome.Outcome) bool {
	return errors.Is(o.Cause, upstream.ErrPoolFull) && !r.openedLog.Load()
}

// release takes the ended run off the feed's accounts, and out of the ways that lead to it where they should lead to
// another. It reports whether nobody reads the run and nobody can any more.
func (r *run) release(o outcome.Outcome) (unreachable bool) {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active--
	r.stopLingerLocked()
	if f.shared[r.request.StreamKey] == r {
		delete(f.shared, r.request.StreamKey) // who comes without a cursor gets a new run
	}
	switch {
	case r.behind != nil:
		unreachable = len(r.subscriptions) == 0
	case r.busy != "":
		f.discardLocked(r)
		unreachable = len(r.subscriptions) == 0
	case r.unbegun(o):
		f.unkeyLocked(r)
	}
	f.checkIdleLocked()
	return unreachable
}

// leave gives up the run because the bridge ends: its readers come back elsewhere where the call may run again, and get
// the end where it may not. Who is being caught up with the run comes back in any case.
func (r *run) leave() {
	for _, c := range r.followers() {
		c.run.cancel(errLeaving)
	}
	cause := errShuttingDown()
	if r.request.Restart {
		cause = errLeaving
	}
	r.cancel(cause)
}

// lingerLocked starts the time after which a call without readers is given up.
func (r *run) lingerLocked() {
	s := r.request.Method.Stream
	if s.UntilDone || r.end.Load() != nil || r.linger != nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(s.Linger, func() {
		f := r.feed
		f.mu.Lock()
		if r.linger != timer { // a reader came in the meantime
			f.mu.Unlock()
			return
		}
		f.discardLocked(r)
		f.mu.Unlock()
		r.close()
	})
	r.linger = timer
}

func (r *run) stopLingerLocked() {
	if r.linger != nil {
		r.linger.Stop()
		r.linger = nil
	}
}
