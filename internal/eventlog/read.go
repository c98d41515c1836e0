package eventlog

import (
	"io"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// Read returns the finished records after pos, back to back: at least one where there is one, more while they lie
// together and stay within limit bytes. The bytes must not be changed and stay good for ever. next is the position of
// the last of them, or pos. It never waits. Errors: *TrimmedError, ErrAhead, ErrClosed, and io.EOF at the end of a
// sealed log.
func (l *Log) Read(pos event.Position, limit int) (records []byte, next event.Position, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.ordinalOf(pos)
	switch {
	case l.closed:
		return nil, pos, ErrClosed
	case had < l.first:
		return nil, pos, &TrimmedError{Oldest: l.cursorOf(l.first), Missed: uint64(l.first - had)}
	case had > l.last:
		return nil, pos, ErrAhead
	case had == l.last && !l.sealed.IsZero():
		return nil, pos, io.EOF
	case had == l.last:
		return nil, pos, nil
	}
	records, upto := l.segmentOf(had+1).read(had+1, limit)
	return records, l.positionOf(upto), nil
}

// Record returns the finished record at pos, or, for the start of a generation, the one before it: the last that a reader
// at pos has, if it is kept. The bytes must not be changed and stay good for ever.
func (l *Log) Record(pos event.Position) (record []byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.ordinalOf(pos)
	if l.closed || n <= l.first || n > l.last {
		return nil, false
	}
	return l.segmentOf(n).record(n), true
}

// segmentOf finds the segment that holds p by bisection.
func (l *Log) segmentOf(p ordinal) *segment {
	lo, hi := 0, len(l.segments)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; l.segments[mid].base <= p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return l.segments[lo]
}

// Wake tells every watcher, although nothing was appended: readers look again.
func (l *Log) Wake() {
	l.mu.Lock()
	readers := l.watchers
	l.mu.Unlock()
	readers.tell()
}

// Within is for a reader at pos that took only the first n bytes of what Read returned. It returns the position of the
// record that the next byte belongs to, and where that record ends among those bytes. ok is false where these records are
// no longer kept.
func (l *Log) Within(pos event.Position, n int) (at event.Position, end int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.ordinalOf(pos)
	if l.closed || had < l.first || had >= l.last {
		return 0, 0, false
	}
	s := l.segmentOf(had + 1)
	upto, end := s.within(had+1, n)
	return l.positionOf(upto), end, true
}
