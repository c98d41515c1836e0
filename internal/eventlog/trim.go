package eventlog

import "time"

// trimLocked drops what retention does not ask for, oldest first, and returns the bytes of memory it freed.
func (l *Log) trimLocked() (freed int) {
	tooOld := l.now().Add(-l.limits.Age).UnixNano()
	return l.dropWhile(func(s *segment) bool {
		kept := l.sent
		events := int(l.written - l.first)
		if l.mode != Paced {
			kept, events = l.sent+l.unsent, int(l.last-l.first)
		}
		return events > l.limits.Events || kept > l.limits.Bytes || s.times[l.first+1-s.base] < tooOld
	})
}

// dropWhile drops the oldest record as long as it may go and drop says so. It may go when it was sent (or the log is
// not paced) and another one follows it: a log always holds at least one record.
func (l *Log) dropWhile(drop func(*segment) bool) (freed int) {
	for l.first+1 < l.last && (l.first < l.written || l.mode != Paced) {
		s := l.segments[0]
		if !drop(s) {
			break
		}
		p := l.first + 1
		if n := s.size(p, p); p > l.written {
			l.unsent -= n
			l.written = p // nobody will be written it any more
		} else {
			l.sent -= n
		}
		l.first = p
		if p == s.last() {
			freed += s.cost(l.beside)
			l.segments[0] = nil
			l.segments = l.segments[1:]
		}
	}
	return freed
}

// Expire drops what has grown too old and reports when the log was sealed, zero if it was not. It is for logs that
// nothing is appended to any more.
func (l *Log) Expire() (sealed time.Time) {
	l.mu.Lock()
	freed := 0
	if !l.closed {
		freed = l.trimLocked()
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
	if l.mode == Shared {
		return l.dropWhile(func(*segment) bool { return l.sent+l.unsent+int(l.last-l.first)*l.beside > keep })
	}
	return l.dropWhile(func(*segment) bool { return l.first < l.written && l.sent+int(l.written-l.first)*l.beside > keep })
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
