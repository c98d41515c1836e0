// Package feed holds the running calls and their readers. A run is one call of a server-streaming method together with
// its log; a reader subscribes with a cursor, a key, or nothing, and the feed finds the run that this means, starts one,
// or says why neither can be.
//
//	Subscribe ──▶ known cursor ───────────▶ the run it belongs to, from there
//	             │ a shared call that runs ▶ that run, from where its start option says
//	             │   with a backend cursor ▶ ... or a call of its own first, which catches up with it
//	             │ key of a kept run ──────▶ that run, from its start
//	             │ a backend's cursor ─────▶ a new run, opened there
//	             │ unknown cursor, END ────▶ nothing is called: the stream has ended
//	             └ else ───────────────────▶ a new run
//
// A run outlives its readers by the method's linger, and its call by the method's retention.
package feed

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// minSealedAge is how long an ended run is kept at least, so that who was away still learns of the end.
const minSealedAge = 60 * time.Second

// sweepEvery is how often logs are looked at for what has grown too old. It is rare because it goes through all of them:
// of ten thousand, each for one client, little is in the processor's caches.
const sweepEvery = 5 * time.Second

// Errors of Subscribe, beside *BusyError.
var (
	// ErrEnded: the presented cursor is the end of a run of this stream. There is nothing more, on any replica.
	ErrEnded = errors.New("feed: the stream has ended")
	// ErrKeyConflict: the key names a call that was made with another request.
	ErrKeyConflict = errors.New("feed: the key names a call with another request")
)

// BusyError says that no new call is started now.
type BusyError struct {
	// Reason is "overload", "limit" (too many readers of one call) or "drain".
	Reason string
}

func (e *BusyError) Error() string { return "feed: no new calls: " + e.Reason }

// Caller makes calls. An *upstream.Upstream is one.
type Caller interface {
	Stream(ctx context.Context, c upstream.Call) iter.Seq2[upstream.Message, error]
}

// Encoder makes the finished frame of a message. A *transcode.Encoder is one.
type Encoder interface {
	AppendFrame(dst []byte, id event.ID, wire []byte) []byte
}

// Options are what a feed is made with.
type Options struct {
	// Budget bounds the bytes of all logs together.
	Budget *eventlog.Budget
	// MaxCalls is how many calls may run at once; 0 for any number.
	MaxCalls int
	// MaxReaders is how many readers one shared call may have; 0 for any number.
	MaxReaders int
	// Logger gets one line for every call that ends badly. Nil means none.
	Logger *slog.Logger
	// Now tells the time, for logs and for the first positions of generations. Nil means time.Now.
	Now func() time.Time
}

// Feed holds the runs. Its methods may be called from any goroutine.
type Feed struct {
	budget     *eventlog.Budget
	maxCalls   int
	maxReaders int
	logger     *slog.Logger
	now        func() time.Time
	logClock   func() time.Time // nil: the log's own, which is cheaper

	clients clients // has a lock of its own

	ctx    context.Context // ends all runs
	cancel context.CancelCauseFunc
	work   sync.WaitGroup // the runs' pumps and the sweeper

	// mu guards what follows, and the fields of runs that say so.
	mu       sync.Mutex
	runs     map[event.Run]*run
	keyed    map[key]*run
	shared   map[access.StreamKey]*run // those that are not sealed
	draining bool
	idle     chan struct{} // closed when, while draining, no run is active and no reader attached
	active   int           // runs that are not sealed
	readers  int           // subscriptions that are not closed
	attached uint64        // counts subscriptions
}

// key is what a client calls a per-call stream by.
type key struct {
	principal access.Principal
	name      string
}

// New makes a feed. Close ends it.
func New(o Options) *Feed {
	logClock := o.Now
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		budget: o.Budget, maxCalls: o.MaxCalls, maxReaders: o.MaxReaders, logger: o.Logger, now: o.Now, logClock: logClock,
		runs: map[event.Run]*run{}, keyed: map[key]*run{}, shared: map[access.StreamKey]*run{}, idle: make(chan struct{}),
	}
	f.clients = clients{now: o.Now, cursors: map[client]*kept{}}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	f.work.Go(f.sweep)
	return f
}

// Request is one client's wish to read a stream.
type Request struct {
	// Method is what is called; its stream rule says how the run is kept.
	Method *schema.Method
	// Caller makes the call.
	Caller Caller
	// Encoder returns the encoder to render the next message with. It is asked for every message: a backend that came back
	// may have another schema, which is read while its calls go on already.
	Encoder func() Encoder
	// Wire is the request message, Canonical its canonical form.
	Wire, Canonical []byte
	// Metadata goes to the backend.
	Metadata metadata.MD
	// Principal is who asks; zero for anonymous.
	Principal access.Principal
	// Cursor is what the client presented, empty for none.
	Cursor string
	// Key names the call from the client's side, empty for none.
	Key string
	// Restart says that a lost call is started again, and that an unknown cursor starts a new one.
	Restart bool
	// Fields are the method's, from NewFields.
	Fields *Fields
	// StreamKey tells a shared call from others; without meaning where Method shares none.
	StreamKey access.StreamKey
	// ClientID names a cursor that is kept here for the client, empty for none. One that is kept counts in place of Cursor.
	ClientID string
	// Strict says that the client cannot be told of a gap: an unknown cursor is answered with ErrEnded.
	Strict bool
}

// Cancel ends the per-call run that id belongs to, if it runs and principal started it. It does nothing otherwise, and
// does not tell which it was; but shared says that the id is one of a shared call's, which nobody can cancel.
func (f *Feed) Cancel(principal access.Principal, id event.ID) (shared bool) {
	f.mu.Lock()
	r := f.runs[id.Mark.Run()]
	f.mu.Unlock()
	if r == nil {
		return false
	}
	if r.shared {
		return r.isOpenTo(principal)
	}
	if r.isOpenTo(principal) {
		r.cancel(outcome.New(cancelledCode, "cancelled by the client").Err())
	}
	return false
}

// Close ends every run at once and waits for all that the feed started.
func (f *Feed) Close() {
	f.mu.Lock() // a Subscribe has started its call, or will not
	f.cancel(errShuttingDown())
	f.mu.Unlock()
	f.work.Wait()
	for _, r := range f.snapshot() {
		f.discard(r)
	}
}

// Stats counts what the feed holds.
type Stats struct {
	// Runs is how many runs are kept, Active how many of them still run, Readers how many subscriptions are open.
	Runs, Active, Readers int
	// Bytes is how much memory the logs take, and what is kept beside them.
	Bytes int64
}

// Stats counts what the feed holds now.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Stats{Runs: len(f.runs), Active: f.active, Readers: f.readers}
	if f.budget != nil {
		s.Bytes = f.budget.Used()
	}
	return s
}

func (f *Feed) snapshot() []*run {
	f.mu.Lock()
	defer f.mu.Unlock()
	runs := make([]*run, 0, len(f.runs))
	for _, r := range f.runs {
		runs = append(runs, r)
	}
	return runs
}

// checkIdleLocked tells Drain that nothing is left to wait for.
func (f *Feed) checkIdleLocked() {
	if f.draining && f.active == 0 && f.readers == 0 {
		select {
		case <-f.idle:
		default:
			close(f.idle)
		}
	}
}

// sweep drops what retention no longer asks for, in logs that nothing is appended to any more, and runs without a log.
func (f *Feed) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		now := f.now()
		for _, r := range f.snapshot() {
			sealed := r.log.Expire()
			if r.evicted.Load() {
				f.discard(r)
				continue
			}
			if !sealed.IsZero() && now.Sub(sealed) > max(r.request.Method.Stream.Retention.Age, minSealedAge) {
				f.discardUnread(r)
			}
		}
	}
}

// discard forgets a run. Its cursors are unknown from now on; readers that are still attached find the log closed.
func (f *Feed) discard(r *run) {
	f.mu.Lock()
	f.discardLocked(r)
	f.mu.Unlock()
	r.close()
}

// discardUnread forgets a run unless somebody reads it.
func (f *Feed) discardUnread(r *run) {
	f.mu.Lock()
	unread := len(r.subscriptions) == 0
	if unread {
		f.discardLocked(r)
	}
	f.mu.Unlock()
	if unread {
		r.close()
	}
}

func (f *Feed) discardLocked(r *run) {
	if f.runs[r.name()] != r {
		return
	}
	delete(f.runs, r.name())
	f.unkeyLocked(r)
	if f.shared[r.request.StreamKey] == r {
		delete(f.shared, r.request.StreamKey)
	}
	r.stopLingerLocked()
	r.cancel(errDiscarded)
}

// unkeyLocked frees the run's key for another run.
func (f *Feed) unkeyLocked(r *run) {
	if k := r.key(); f.keyed[k] == r {
		delete(f.keyed, k)
	}
}
