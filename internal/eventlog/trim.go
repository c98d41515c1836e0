package eventlog

import (
	"sort"
	"time"
)

// trimLocked drops what retention does not ask for, oldest first, and returns the bytes of memory it freed.
func (l *Log) trimLocked(now int64) (freed int) {
	tooOld := now - int64(l.limits.Age)
	kept, newest := l.sent, l.written
	if l.mode != Paced {
		kept, newest = l.sent+l.unsent, l.last
	}
	return l.dropWhile(func(p ordinal, s *segment, before int) bool {
		return int(newest-p) >= l.limits.Events || kept-before > l.limits.Bytes || s.times[p-s.base] < tooOld
	})
}

// dropWhile drops the oldest records as long as they may go and drop says so. They may go when they were sent (or the log
// is not paced) and another one follows: a log always holds at least one record. drop is asked about the record p in s,
// once before bytes of records before it are gone. Where it says no, it must say so of all that follow: of a segment it is
// only asked about a few.
func (l *Log) dropWhile(drop func(p ordinal, s *segment, before int) bool) (freed int) {
	before := 0
	for l.first+1 < l.last && (l.first < l.written || l.mode != Paced) {
		s, oldest := l.segments[0], l.first+1
		most := min(s.last(), l.last-1)
		if l.mode == Paced {
			most = min(most, l.written)
		}
		goes := func(n int) bool { return drop(oldest+ordinal(n), s, before+s.size(oldest, oldest+ordinal(n)-1)) }
		if !goes(0) {
			break
		}
		n := 1 // as it nearly always is
		if left := int(most - oldest); left > 0 && goes(1) {
			n += sort.Search(left, func(i int) bool { return !goes(i + 1) })
		}
		upto := l.first + ordinal(n)
		before += s.size(oldest, upto)
		freed += l.dropUpTo(upto)
		if upto < most {
			break
		}
	}
	return freed
}

// dropUpTo drops the records up to p, which is in the oldest segment.
func (l *Log) dropUpTo(p ordinal) (freed int) {
	s := l.segments[0]
	size := s.size(l.first+1, p)
	if p > l.written {
		sent := s.size(l.first+1, max(l.written, l.first))
		l.sent -= sent
		l.unsent -= size - sent
		l.written = p // nobody will be written it any more
	} else {
		l.sent -= size
	}
	l.first = p
	if p == s.last() {
		freed = s.cost(l.beside)
		l.segments[0] = nil
		l.segments = l.segments[1:]
	}
	return freed
}

// Expire drops what has grown too old and reports when the log was sealed, zero if it was not. It is for logs that
// nothing is appended to any more.
func (l *Log) Expire() (sealed time.Time) {
	l.mu.Lock()
	freed := 0
	if !l.closed {
		freed = l.trimLocked(l.clock.now())
	}
	sealed = l.sealed
	l.mu.Unlock()
	l.budget.shrank(freed)
	return sealed
}

// trimTo drops, for the budget, what it may take of the log's records down to keep bytes of them: of a shared log any, of
// another those that were sent; what is kept beside them counts. It returns the memory freed.
func (l *Log) trimTo(keep int) (freed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	return l.trimToLocked(keep)
}

func (l *Log) trimToLocked(keep int) (freed int) {
	kept, newest := l.sent, l.written
	if l.mode == Shared {
		kept, newest = l.sent+l.unsent, l.last
	}
	return l.dropWhile(func(p ordinal, _ *segment, before int) bool {
		return p <= newest && kept-before+int(newest-p+1)*l.beside > keep
	})
}

// evict closes the log if it is sealed and nobody reads it. It returns the memory freed.
func (l *Log) evict() (freed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.sealed.IsZero() || l.readers > 0 {
		return 0, false
	}
	return l.closeLocked(), true
}

func (l *Log) sealedAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealed
}
