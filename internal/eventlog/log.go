// Package eventlog keeps the events of one run of a call: an ordered, bounded record in memory that one writer appends
// to and any number of readers read, each at its own position.
//
// A record is a finished frame: what is kept is what goes to the socket. Records lie back to back in segments whose
// bytes never change, so every reader is handed the same memory. As the log grows so do its segments, and small ones are
// joined into new ones:
//
//	segment      segment      segment (open)
//	|rec|rec|rec||rec|rec    ||rec|rec|........|
//	     ^first               ^written    ^last
//	     └── sent part ──────┘└── unsent ┘
//
// What becomes of a record that nobody has read is a matter of Mode. In a log of one client's call the unsent part is
// never trimmed: when it holds half of Limits.Bytes the writer waits (WaitRoom), and the backend with it; the sent part is
// kept for a client that comes back, within Limits. In a shared log Limits bounds the whole, and a reader that falls out
// of it is told how much it missed.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// Errors of Read and WaitRoom, beside io.EOF.
var (
	// ErrAhead: the position lies behind the end of the log.
	ErrAhead = errors.New("eventlog: position is ahead of the log")
	// ErrClosed: the log was closed or evicted; nothing of it is kept.
	ErrClosed = errors.New("eventlog: log is closed")
	// ErrBudget: the budget over all logs is used up and this log cannot wait.
	ErrBudget = errors.New("eventlog: byte budget is used up")
)

// TrimmedError says that records after the asked position are gone.
type TrimmedError struct {
	// Oldest is the position just before the oldest record kept: where to read on.
	Oldest event.Position
	// Missed counts the records between the asked position and Oldest.
	Missed uint64
}

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("eventlog: %d records are no longer kept; the oldest is at %d", e.Missed, e.Oldest+1)
}

// Log is the record of one run. Its methods may be called from any goroutine, but Append, WaitRoom, Seal and their
// variants from one writer only.
type Log struct {
	limits   Limits
	mode     Mode
	overhead int // bytes that count beside those of the records
	beside   int // bytes that count beside each record and its index entry
	budget   *Budget
	evicted  func()
	clock    clock

	// mu guards what follows. It is never held while the budget's locks are taken.
	mu          sync.Mutex
	segments    []*segment   // oldest first
	generations []generation // oldest first, at least one; the oldest may have been forgotten
	settled     bool         // the newest generation's start moves no more
	first       ordinal      // just before the oldest record kept
	last        ordinal      // the newest record
	written     ordinal      // the furthest that any reader was written
	sent        int          // bytes of the records in (first, written]
	unsent      int          // bytes of the records in (written, last]
	readers     int
	sealed      time.Time // zero: not sealed
	ended       bool      // the newest record is the end
	closed      bool
	watchers    watchers      // replaced, never changed
	room        chan struct{} // closed at the next change that the writer waits for; nil while it does not
}

// New makes an empty log.
func New(o Options) *Log {
	l := &Log{
		limits: o.Limits, mode: o.Mode, overhead: overheadBytes + o.Beside, beside: o.BesideRecord,
		budget: o.Budget, evicted: o.Evicted, clock: newClock(o.Now),
		generations: []generation{{mark: o.Mark, start: o.First}},
	}
	l.budget.add(l)
	return l
}

// Append adds the record that build appends to dst for the id it is given, and wakes the readers. It never waits: the
// writer calls WaitRoom before it receives more, but need not where room says that there is some. Append on a sealed or
// closed log does nothing.
func (l *Log) Append(build func(dst []byte, id event.ID) []byte) (room bool) {
	return l.AppendAt(time.Time{}, build)
}

// AppendAt is Append for a record whose time is known, which saves to ask for it: that costs as much as taking a lock.
// It must not be before that of the record before it. With Options.Now, or where it is zero, the log asks all the same.
func (l *Log) AppendAt(at time.Time, build func(dst []byte, id event.ID) []byte) (room bool) {
	l.mu.Lock()
	if l.closed || !l.sealed.IsZero() {
		l.mu.Unlock()
		return false
	}
	now := l.clock.at(at)
	grown := l.appendLocked(build, now) - l.trimLocked(now)
	readers, full := l.watchers, l.fullLocked()
	l.mu.Unlock()
	readers.tell()
	l.budget.grew(grown)
	if l.mode == Shared && l.budget.short() { // although all that others need not keep was taken
		l.budget.shrank(l.trimTo(l.budget.floor()))
	}
	return !full && !l.budget.short()
}

// fullLocked reports whether the writer of a paced log waits for its readers.
func (l *Log) fullLocked() bool { return l.mode == Paced && l.unsent >= l.limits.Bytes/2 }

// appendLocked adds one record and returns the bytes of memory it took.
func (l *Log) appendLocked(build func([]byte, event.ID) []byte, now int64) (grown int) {
	g := l.newest()
	id := event.At(g.position(l.last+1), g.mark)
	var seg *segment
	var n int
	var record []byte
	if k := len(l.segments); k > 0 {
		seg = l.segments[k-1]
		grown = -seg.cost(l.beside)
		n, record = seg.append(build, id, now)
		grown += seg.cost(l.beside)
	} else {
		record = build([]byte{}, id)
	}
	if record != nil { // it did not fit
		size := l.nextSegmentSize(len(record))
		if seg != nil && size > cap(seg.buf) {
			grown = l.mergeLocked(size)
		}
		seg = newSegment(l.last+1, size, seg)
		seg.add(record, now)
		l.segments = append(l.segments, seg)
		n, grown = len(record), grown+seg.cost(l.beside)
	}
	l.last++
	l.unsent += n
	return grown
}

// mergeLocked joins neighbours that fit into one segment of size together, and returns the bytes of memory that took. Each
// time that the size grows what is there is copied, as when a slice grows: who reads all of it then gets large pieces,
// each of which is a system call.
func (l *Log) mergeLocked(size int) (grown int) {
	merged := l.segments[:0]
	for _, s := range l.segments {
		if k := len(merged); k > 0 && len(merged[k-1].buf)+len(s.buf) <= size {
			before := merged[k-1]
			grown -= before.cost(l.beside) + s.cost(l.beside)
			s = before.joined(s, size)
			merged = merged[:k-1]
			grown += s.cost(l.beside)
		}
		merged = append(merged, s)
	}
	clear(l.segments[len(merged):])
	l.segments = merged
	return grown
}

// overheadBytes is about what a log and its run cost beside its records and Options.Beside. It is counted so that many
// small logs, which are kept for a while after their calls have ended, stay within the budget too.
const overheadBytes = 4 << 10

const (
	minSegment = 4 << 10
	maxSegment = 64 << 10
)

// nextSegmentSize grows from minSegment to maxSegment with what the log holds, so that who keeps little stays small and
// who keeps much is cheap. It stays well below the retention, and below what the budget leaves to each log when it is
// short, because memory goes in whole segments.
func (l *Log) nextSegmentSize(record int) int {
	size := max(minSegment, (l.sent+l.unsent)/2)
	size = min(size, maxSegment, max(l.limits.Bytes/8, 1<<10), max(l.budget.floor()/4, minSegment))
	size = 1 << (bits.Len(uint(size)) - 1) // down to a power of two
	if record > size {
		return allocated(record)
	}
	return size
}

// allocated rounds up to what Go's allocator has pieces of: powers of two, and many pages. So what is counted is what is
// held.
func allocated(size int) int {
	const page, most = 8 << 10, 32 << 10
	if size <= most {
		return 1 << bits.Len(uint(size-1))
	}
	return (size + page - 1) / page * page
}

// Seal says that nothing follows: readers get io.EOF after the last record. Evicted may be called before it returns.
func (l *Log) Seal() { l.SealWith(nil) }

// SealWith appends the end, a last record that build makes as for Append, and seals the log in one step. Every reader comes
// to the end, and has nothing to come back for then: the position of the end is no cursor (Bounds, Holds), so nobody begins
// behind it.
func (l *Log) SealWith(build func(dst []byte, id event.ID) []byte) {
	l.mu.Lock()
	var readers watchers
	grown := 0
	if l.sealed.IsZero() && !l.closed {
		if build != nil {
			now := l.clock.now()
			grown = l.appendLocked(build, now) - l.trimLocked(now)
			l.ended = true
		}
		l.sealed = l.clock.time()
		readers = l.watchers
	}
	idle := l.readers == 0 && !l.closed
	l.mu.Unlock()
	readers.tell()
	l.budget.grew(grown)
	if idle {
		l.budget.released()
	}
}

// newestLocked is the newest record that is not the end.
func (l *Log) newestLocked() ordinal {
	if l.ended {
		return l.last - 1
	}
	return l.last
}

// Close frees everything that the log holds. Readers and the writer get ErrClosed.
func (l *Log) Close() {
	l.mu.Lock()
	freed := l.closeLocked()
	l.mu.Unlock()
	l.budget.drop(l, freed)
}

func (l *Log) closeLocked() (freed int) {
	if l.closed {
		return 0
	}
	l.closed = true
	freed = l.overhead
	for _, s := range l.segments {
		freed += s.cost(l.beside)
	}
	l.segments, l.sent, l.unsent = nil, 0, 0
	l.watchers.tell()
	l.wakeWriterLocked()
	return freed
}

func (l *Log) wakeWriterLocked() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// Written says that everything up to pos has been written to a reader. Of several readers the furthest sets the pace.
// What a shared log keeps does not depend on it.
func (l *Log) Written(pos event.Position) {
	l.mu.Lock()
	upto := l.ordinalOf(pos)
	if l.closed || upto <= l.written || upto > l.last {
		l.mu.Unlock()
		return
	}
	n := l.bytesBetween(l.written, upto)
	l.written = upto
	l.sent += n
	l.unsent -= n
	freed := l.trimLocked(l.clock.now())
	if l.mode != Shared && l.budget.tight() {
		freed += l.trimToLocked(l.budget.floor())
	}
	l.wakeWriterLocked()
	l.mu.Unlock()
	l.budget.shrank(freed)
}

// bytesBetween counts the bytes of the records in (from, to], which are kept.
func (l *Log) bytesBetween(from, to ordinal) int {
	n := 0
	for from < to {
		s := l.segmentOf(from + 1)
		upto := min(to, s.last())
		n += s.size(from+1, upto)
		from = upto
	}
	return n
}

// WaitRoom waits until the log has room for more: while the budget is used up and the log has an unsent part at all, and
// in a paced log while that part holds half of Limits.Bytes. Where everything was sent, the next record takes the place
// of others; so of a shared log that has readers the fastest sets the pace as long as the budget is short. A log that
// keeps the newest never waits and answers ErrBudget instead. Other errors: the context's, ErrClosed.
func (l *Log) WaitRoom(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return ErrClosed
		}
		own := l.fullLocked()
		if l.unsent == 0 || !own && !l.budget.short() {
			l.mu.Unlock()
			return ctx.Err()
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		var freed <-chan struct{} // never, where the budget is not what is waited for
		if !own {
			freed = l.budget.wait()
			if freed == nil {
				return ctx.Err()
			}
			if l.mode == Newest {
				return ErrBudget
			}
		}
		select {
		case <-room:
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Bounds are the position just before the oldest record kept and that of the newest, the end (SealWith) left aside. They
// are the same where there is no record.
func (l *Log) Bounds() (first, last event.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursorOf(l.first), l.cursorOf(l.newestLocked())
}

// Attach counts a reader; while there is one the budget does not evict the log.
func (l *Log) Attach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers++
}

// Detach takes back one Attach. Evicted may be called before it returns.
func (l *Log) Detach() {
	l.mu.Lock()
	l.readers--
	idle := l.readers == 0 && !l.closed && !l.sealed.IsZero()
	l.mu.Unlock()
	if idle {
		l.budget.released()
	}
}
