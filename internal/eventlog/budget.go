package eventlog

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sentFloor is what the budget leaves every log of its sent part, so that a short cut can still be resumed.
const sentFloor = 256 << 10

// Budget bounds the memory of all logs together. When it is short, sealed logs that nobody reads go, oldest first; then
// sent parts, down to 256 KiB each; then Full is true and new streams are to be refused; then WaitRoom waits. Unsent
// parts are never taken. The methods that logs call work on a nil Budget.
type Budget struct {
	limit int64
	used  atomic.Int64

	// mu guards logs and makes reclaiming one at a time. It is taken before a log's mu, never after.
	mu   sync.Mutex
	logs map[*Log]struct{}

	// waitMu guards freed, closed at the next release while somebody waits. No other lock is taken under it.
	waitMu sync.Mutex
	freed  chan struct{}
}

// NewBudget makes a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, logs: map[*Log]struct{}{}} }

// Used is how many bytes all logs hold.
func (b *Budget) Used() int64 { return b.used.Load() }

// short reports whether writers wait, or are about to.
func (b *Budget) short() bool { return b != nil && b.used.Load() >= b.limit }

// Full reports whether nothing is left after all that can be taken was taken.
func (b *Budget) Full() bool {
	if !b.short() {
		return false
	}
	b.reclaim()
	return b.short()
}

func (b *Budget) add(l *Log) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.logs[l] = struct{}{}
	b.mu.Unlock()
	b.used.Add(overheadBytes)
}

func (b *Budget) drop(l *Log, freed int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	delete(b.logs, l)
	b.mu.Unlock()
	b.shrank(freed)
}

// grew counts n more bytes, or fewer where n is negative.
func (b *Budget) grew(n int) {
	switch {
	case b == nil:
	case n < 0:
		b.shrank(-n)
	case b.used.Add(int64(n)) > b.limit:
		b.reclaim()
	}
}

func (b *Budget) shrank(n int) {
	if b == nil || n == 0 {
		return
	}
	b.used.Add(-int64(n))
	b.waitMu.Lock()
	defer b.waitMu.Unlock()
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// wait returns nil where there is room, else a channel that is closed when some may have come.
func (b *Budget) wait() <-chan struct{} {
	if b == nil {
		return nil
	}
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

// reclaim takes what may be taken until the budget is met, and a sixteenth more, so that a full budget is not searched
// for every event.
func (b *Budget) reclaim() {
	target := b.limit - b.limit/16
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
	for l := range b.logs {
		if b.used.Load() <= target {
			break
		}
		b.shrank(l.trimSent(sentFloor))
	}
	b.mu.Unlock()
	for _, l := range evicted {
		if l.evicted != nil {
			l.evicted()
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
