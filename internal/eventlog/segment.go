package eventlog

import (
	"sort"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// segment is a run of records back to back:
//
//		buf   |record base|record base+1|record base+2|free...|
//		ends               ^             ^             ^
//
//	  - buf never moves: it is made with its final capacity, and bytes below its length never change, so slices of it can
//	    be read without a lock.
//	  - ends[i] and times[i] belong to the record at base + i.
type segment struct {
	base  ordinal
	buf   []byte
	ends  []uint32
	times []int64 // unix nanoseconds, rising but for the clock's jumps
}

// indexEntryBytes is what one record costs in ends and times.
const indexEntryBytes = 4 + 8

func newSegment(base ordinal, size int) *segment {
	return &segment{base: base, buf: make([]byte, 0, size)}
}

// cost is the memory that the segment holds, in bytes, with so many more beside each record.
func (s *segment) cost(beside int) int { return cap(s.buf) + len(s.ends)*(indexEntryBytes+beside) }

func (s *segment) last() ordinal { return s.base + ordinal(len(s.ends)) - 1 }

// append builds the record in place. Where it does not fit, the record comes back as rest and nothing was added.
func (s *segment) append(build func([]byte, event.ID) []byte, id event.ID, now int64) (n int, rest []byte) {
	used := len(s.buf)
	record := build(s.buf[used:used:cap(s.buf)], id)
	if len(record) == 0 {
		s.index(now)
		return 0, nil
	}
	if used+len(record) > cap(s.buf) || &s.buf[:used+1][used] != &record[0] {
		return 0, record
	}
	s.buf = s.buf[:used+len(record)]
	s.index(now)
	return len(record), nil
}

// add copies a record that fits.
func (s *segment) add(record []byte, now int64) {
	s.buf = append(s.buf, record...)
	s.index(now)
}

func (s *segment) index(now int64) {
	s.ends = append(s.ends, uint32(len(s.buf)))
	s.times = append(s.times, now)
}

// offset is where the record p begins; for the one after the last it is the end.
func (s *segment) offset(p ordinal) int {
	if p == s.base {
		return 0
	}
	return int(s.ends[p-s.base-1])
}

// size counts the bytes of the records from p to q, both included.
func (s *segment) size(p, q ordinal) int { return s.offset(q+1) - s.offset(p) }

// read returns the records from p on, at least one, within limit bytes, and which is the last of them.
func (s *segment) read(p ordinal, limit int) ([]byte, ordinal) {
	from, i := s.offset(p), int(p-s.base)
	end := s.ends[len(s.ends)-1]
	if int(end)-from > limit {
		// The first record whose end lies beyond the limit is the first that is left out, unless it is the only one.
		i += max(1, sort.Search(len(s.ends)-i, func(k int) bool { return int(s.ends[i+k])-from > limit }))
		end = s.ends[i-1]
	} else {
		i = len(s.ends)
	}
	return s.buf[from:end:end], s.base + ordinal(i) - 1
}

// record returns the record p.
func (s *segment) record(p ordinal) []byte {
	from, end := s.offset(p), s.offset(p+1)
	return s.buf[from:end:end]
}
