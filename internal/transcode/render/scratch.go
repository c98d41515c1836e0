package render

import (
	"math"
	"sync"
)

// scratch is the memory that one rendering needs. It holds no pointer into a message once it is given back.
//
// Every message that is being written has a frame, a piece at the end of slots and of seen; the frames of the messages
// around it lie before. What is noted of it beyond that, in runs and entries, is taken off their ends with the frame.
type scratch struct {
	root *Program // of the message that the scratch was opened for

	wire    []byte // all of the message; whatever is noted are places in it
	slots   []slot
	seen    []uint64
	runs    []run
	entries []entry
	discard []byte // where what is only checked is written to

	date dateText // of the last Timestamp

	anys     int    // how many Any are around
	careful  bool   // all messages are read into frames
	checking bool   // only Any are of interest: what has no JSON form is passed over
	worst    *Error // of checking: the first in the order of reasons
}

// slot is what has been read of one field.
//
//	a number           bits: its wire value
//	string, bytes      bits: where it is, as a span
//	message            bits: where its first part is, without tag and length; more: the other parts
//	list, map          bits: where its first run is, with tags; more: the other runs
//
// A run is a number of occurrences of a field with nothing between them.
type slot struct {
	bits uint64
	more uint32 // 1 + the index in runs of the next part or run; 0 for none
	last uint32 // the same of the last one
}

// run is a part of a message, or a run of a list or map, that is not the first.
type run struct {
	at   uint64 // a span
	next uint32 // as slot.more
}

// span packs where something is in the wire bytes: its start in the upper half, its end in the lower.
func span(start, end int) uint64 { return uint64(start)<<32 | uint64(end) }

func bounds(span uint64) (start, end int) { return int(span >> 32), int(span & math.MaxUint32) }

func isEmpty(span uint64) bool { return uint32(span>>32) == uint32(span) }

// maxWire is how long a message can be: offsets have 32 bits. Protobuf has the same limit.
const maxWire = math.MaxInt32

// text is what a span holds.
func (s *scratch) text(span uint64) []byte {
	start, end := bounds(span)
	return s.wire[start:end]
}

// frame says where the frame of a message begins.
type frame struct{ slots, seen, runs int }

// push makes a frame for a message with a layout. No field of it is seen yet.
func (s *scratch) push(l *layout) frame {
	fr := frame{len(s.slots), len(s.seen), len(s.runs)}
	if need := fr.slots + len(l.fields); need <= cap(s.slots) {
		s.slots = s.slots[:need] // whatever is in there: seen says what counts
	} else {
		s.slots = append(s.slots, make([]slot, len(l.fields))...)
	}
	for range l.words + l.cases {
		s.seen = append(s.seen, 0)
	}
	return fr
}

// pop takes the newest frame off.
func (s *scratch) pop(fr frame) {
	s.slots, s.seen, s.runs = s.slots[:fr.slots], s.seen[:fr.seen], s.runs[:fr.runs]
}

// has reports whether a field of a frame is seen, and has a value.
func (s *scratch) has(fr frame, index int) bool {
	return s.seen[fr.seen+index>>6]>>(index&63)&1 != 0
}

// number is the number in a field of a frame; 0 where it is not seen.
func (s *scratch) number(fr frame, index int) uint64 {
	if !s.has(fr, index) {
		return 0
	}
	return s.slots[fr.slots+index].bits
}

// fail is the way of an error that is found while a message is written.
func (s *scratch) fail(err *Error) *Error {
	if s.checking {
		return nil
	}
	return err
}

// failText is the way of an error about text that is not UTF-8, which a decoder finds, too, where it looks for it.
func (s *scratch) failText(f *field) *Error {
	err := &Error{Reason: UTF8, In: *f.full}
	if f.utf8 {
		return err
	}
	return s.fail(err)
}

// scratches keeps the memory between renderings.
var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxKept is how much of each kind is kept: one huge message must not hold its size for ever.
const maxKept = 1 << 14

// release gives s back.
func (s *scratch) release() {
	if cap(s.slots) > maxKept || cap(s.runs) > maxKept || cap(s.entries) > maxKept || cap(s.discard) > maxKept {
		return
	}
	s.wire, s.worst = nil, nil
	s.slots, s.seen, s.runs, s.entries = s.slots[:0], s.seen[:0], s.runs[:0], s.entries[:0]
	s.anys, s.checking, s.careful = 0, false, false
	scratches.Put(s)
}
