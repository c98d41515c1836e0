package eventlog

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sentFloor is what the budget leaves every log of its sent part, and a shared one of its whole, so that a short cut can
// still be resumed.
const sentFloor = 256 << 10

// Budget bounds the memory of all logs together. When it is short, sealed logs that nobody reads go, oldest first; then
// sent parts, down to 256 KiB each, or to an equal share of half the budget where that is less; then the older records of
// shared logs, whoever has read them, down to the same; then Full is true and new streams are to be refused; then WaitRoom
// waits. Unsent parts of other logs are never taken. The methods that logs call, and Hold, work on a nil Budget.
//
// The share keeps many logs going whose readers all keep up: with the 256 KiB alone they would use up the budget with
// what was sent already, and nothing would be left to wait for.
type Budget struct {
	limit int64
	used  atomic.Int64
	count atomic.Int64 // of logs
	// barren is how many bytes were in use when reclaiming last failed to make room; 0 once there was room. What can be
	// taken later is taken when it comes to be (Written, Seal, Detach), so a search that found nothing is not repeated
	// for every event, only when usage has grown by a 64th of the limit.
	barren atomic.Int64

	// mu guards logs and makes reclaiming one at a time. It is taken before a log's mu, never after.
	mu   sync.Mutex
	logs map[*Log]struct{}

	// waitMu guards freed, closed at the next release while somebody waits. No other lock is taken under it.
	waitMu sync.Mutex
	freed  chan struct{}
}

// NewBudget makes a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, logs: map[*Log]struct{}{}} }

// Limit is how many bytes the budget is made for, math.MaxInt64 for a nil one.
func (b *Budget) Limit() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.limit
}

// Used is how many bytes all logs hold, and what Hold counted.
func (b *Budget) Used() int64 { return b.used.Load() }

// Hold counts delta more bytes that are kept beside the logs, or fewer where delta is negative. It takes nothing from any
// log, so it may be called with locks held; what is appended next makes the room.
func (b *Budget) Hold(delta int) {
	switch {
	case b == nil || delta == 0: // as with most records: segments are counted whole
	case delta < 0:
		b.shrank(-delta)
	default:
		b.used.Add(int64(delta))
	}
}

// floor is how much of a log's sent part, or of a shared log, is left to it.
func (b *Budget) floor() int {
	if b == nil {
		return sentFloor
	}
	return int(min(sentFloor, b.limit/2/max(b.count.Load(), 1)))
}

// released is told that a whole log may now be taken that could not be before.
func (b *Budget) released() {
	if b.short() {
		b.reclaim()
	}
}

// short reports whether writers wait, or are about to.
func (b *Budget) short() bool { return b != nil && b.used.Load() >= b.limit }

// tight reports whether logs are to give up what they need not keep, so that the budget does not get short.
func (b *Budget) tight() bool { return b != nil && b.used.Load() >= b.target() }

// Full reports whether nothing is left after all that can be taken was taken.
func (b *Budget) Full() bool {
	b.makeRoom()
	return b.short()
}

// makeRoom reclaims where the budget is short and that is not known to be in vain.
func (b *Budget) makeRoom() {
	if used := b.used.Load(); used >= b.limit && used > b.barren.Load()+b.limit/64 {
		b.reclaim()
	}
}

// target is what reclaiming tries to reach: some room, so that it is not done for every event. Above it readers that move
// on take their log's sent part with them, which keeps most budgets from ever being searched.
func (b *Budget) target() int64 { return b.limit - b.limit/16 }

func (b *Budget) add(l *Log) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.logs[l] = struct{}{}
	b.count.Store(int64(len(b.logs)))
	b.mu.Unlock()
	b.used.Add(int64(l.overhead))
}

func (b *Budget) drop(l *Log, freed int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	delete(b.logs, l)
	b.count.Store(int64(len(b.logs)))
	b.mu.Unlock()
	b.shrank(freed)
}

// grew counts n more bytes, or fewer where n is negative.
func (b *Budget) grew(n int) {
	b.Hold(n)
	if b != nil && n > 0 {
		b.makeRoom()
	}
}

func (b *Budget) shrank(n int) {
	if b == nil || n == 0 {
		return
	}
	if b.used.Add(-int64(n)) < b.limit {
		b.barren.Store(0)
	}
	b.waitMu.Lock()
	defer b.waitMu.Unlock()
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// wait returns nil where there is room or some can be made, else a channel that is closed when some may have come.
func (b *Budget) wait() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.makeRoom()
	b.waitMu.Lock()
	defer b.waitMu.Unlock()
	if !b.short() {
		return nil
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// reclaim takes what may be taken until the target is met.
func (b *Budget) reclaim() {
	target := b.target()
	var evicted []*Log
	b.mu.Lock()
	for _, l := range b.sealedOldestFirst() {
		if b.used.Load() <= target {
			break
		}
		if freed, ok := l.evict(); ok {
			delete(b.logs, l)
			evicted = append(evicted, l)
			b.shrank(freed)
		}
	}
	b.count.Store(int64(len(b.logs)))
	b.trimLocked(target, func(l *Log) bool { return l.mode != Shared })
	b.trimLocked(target, func(l *Log) bool { return l.mode == Shared })
	if used := b.used.Load(); used >= b.limit {
		b.barren.Store(used)
		if b.used.Load() < b.limit {
			b.barren.Store(0) // what was freed in between has stored its 0 before
		}
	}
	b.mu.Unlock()
	for _, l := range evicted {
		if l.evicted != nil {
			l.evicted()
		}
	}
}

// trimLocked takes what it may of the chosen logs until the target is met.
func (b *Budget) trimLocked(target int64, chosen func(*Log) bool) {
	for l := range b.logs {
		if b.used.Load() <= target {
			return
		}
		if chosen(l) {
			b.shrank(l.trimTo(b.floor()))
		}
	}
}

func (b *Budget) sealedOldestFirst() []*Log {
	type candidate struct {
		log *Log
		at  time.Time
	}
	var found []candidate
	for l := range b.logs {
		if at := l.sealedAt(); !at.IsZero() {
			found = append(found, candidate{l, at})
		}
	}
	slices.SortFunc(found, func(x, y candidate) int { return cmp.Compare(x.at.UnixNano(), y.at.UnixNano()) })
	logs := make([]*Log, len(found))
	for i, c := range found {
		logs[i] = c.log
	}
	return logs
}
