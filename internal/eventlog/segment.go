package eventlog

import (
	"slices"
	"sort"
	"unsafe"

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
	times []int64 // as the log's clock has them: rising, unless Options.Now goes back
}

// segmentBytes is what a segment costs beside buf, ends and times: itself and its places in the log's list, which may be
// half empty.
const segmentBytes = int(unsafe.Sizeof(segment{})) + 2*int(unsafe.Sizeof((*segment)(nil)))

// newSegment makes a segment for size bytes, and for as many records as these will be if they are like those of before,
// which may be nil. Grow takes as much as the allocator gives anyway, so that what is counted is what is held.
func newSegment(base ordinal, size int, before *segment) *segment {
	s := &segment{base: base, buf: make([]byte, 0, size)}
	if before != nil && len(before.buf) > 0 {
		const spare = 8 // an eighth more: records differ
		records := len(before.ends) * size / len(before.buf)
		records = min(records+records/spare+1, size/minRecord+1)
		s.ends, s.times = slices.Grow(s.ends, records), slices.Grow(s.times, records)
	}
	return s
}

// joined is a new segment with the records of both.
func (s *segment) joined(next *segment, size int) *segment {
	both := &segment{base: s.base, buf: append(append(make([]byte, 0, size), s.buf...), next.buf...)}
	records := len(s.ends) + len(next.ends)
	both.ends, both.times = append(slices.Grow(both.ends, records), s.ends...), append(slices.Grow(both.times, records), s.times...)
	for _, end := range next.ends {
		both.ends = append(both.ends, uint32(len(s.buf))+end)
	}
	both.times = append(both.times, next.times...)
	return both
}

// minRecord is the least that newSegment expects of a record: one that is empty says nothing of those that follow.
const minRecord = 16

// cost is the memory that the segment holds, in bytes, with so many more beside each record.
func (s *segment) cost(beside int) int {
	return segmentBytes + cap(s.buf) + 4*cap(s.ends) + 8*cap(s.times) + beside*len(s.ends)
}

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

// within finds the record that the byte n from the beginning of p on belongs to, and where it ends, counted from there.
func (s *segment) within(p ordinal, n int) (at ordinal, end int) {
	from, i := s.offset(p), int(p-s.base)
	i += sort.Search(len(s.ends)-i-1, func(k int) bool { return int(s.ends[i+k])-from > n })
	return s.base + ordinal(i), int(s.ends[i]) - from
}
