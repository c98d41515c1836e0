package render

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// read makes a frame and reads into it a message in its parts: the one at a span, and more. depth is how many levels of
// messages may be inside. The frame is there even where an error is returned.
func (s *scratch) read(p *Program, at uint64, more uint32, depth int) (*layout, frame, *Error) {
	for {
		l := p.layout()
		fr := s.push(l)
		err := s.scan(p, l, fr, at, depth)
		for part := more; part != 0 && err == nil; part = s.runs[part-1].next {
			err = s.scan(p, l, fr, s.runs[part-1].at, depth)
		}
		if err != errGrown {
			return l, fr, err
		}
		s.pop(fr)
	}
}

// scan notes in a frame what one part of a message holds.
func (s *scratch) scan(p *Program, l *layout, fr frame, at uint64, depth int) *Error {
	i, end := bounds(at)
	w := s.wire[:end]
	slots, seen := s.slots[fr.slots:], s.seen[fr.seen:]
	for i < len(w) {
		start := i
		tag := uint64(w[i])
		if i++; tag >= 0x80 {
			if tag, i = varint(w, start); i < 0 {
				return errMalformed
			}
		}
		index := l.find(tag >> 3)
		f := &l.fields[index]
		if index == 0 {
			var err *Error
			if i, err = skip(p, l, w, tag, i); err != nil {
				return err
			}
			continue
		}
		if f.shape == mapped && depth == 0 {
			return errTooDeep
		}
		var bits uint64
		if tag&7 == wireBytes && i < len(w) && w[i] < 0x80 && int(w[i]) < len(w)-i { // as most are
			bits = span(i+1, i+1+int(w[i]))
			i = int(bits & math.MaxUint32)
		} else if bits, i = valueAt(w, tag, i); i < 0 {
			return errMalformed
		}
		if uint8(tag&7) != f.wire {
			if tag&7 == wireBytes && f.packs && !isEmpty(bits) {
				s.extend(fr, index, start, i)
			}
			continue
		}
		switch bit := uint64(1) << (index & 63); {
		case f.shape >= list:
			if f.wire == wireBytes && tag < 0x80 {
				i = runEnd(w, i, byte(tag))
			}
			s.extend(fr, index, start, i)
		case f.oneof == 0 && f.shape == single || f.shape == implicit:
			if bits &= f.mask; bits == 0 && f.shape == implicit {
				seen[index>>6] &^= bit
				continue
			}
			slots[index].bits = bits
			seen[index>>6] |= bit
		case f.oneof == 0 && f.shape <= implicitText && seen[index>>6]&bit == 0:
			if f.shape == text || !isEmpty(bits) {
				slots[index].bits = bits
				seen[index>>6] |= bit
			}
		default:
			if err := s.note(l, fr, index, f, bits, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// short reads a field whose tag has one byte, and bytes of which there are few, at w[i:], if it is that: most are.
func short(w []byte, i int, tag byte) (at uint64, next int, ok bool) {
	if i >= len(w)-1 || w[i] != tag || tag&0x87 != wireBytes || w[i+1] >= 0x80 {
		return 0, i, false
	}
	next = i + 2 + int(w[i+1])
	return span(i+2, next), next, next <= len(w)
}

// runEnd is where the occurrences of a field end that follow each other from w[i:] on, as far as they are short.
func runEnd(w []byte, i int, tag byte) int {
	for {
		_, next, ok := short(w, i, tag)
		if !ok {
			return i
		}
		i = next
	}
}

// note puts one occurrence of a singular field into its slot.
func (s *scratch) note(l *layout, fr frame, index uint32, f *field, bits uint64, depth int) *Error {
	seen := &s.seen[fr.seen+int(index>>6)]
	bit := uint64(1) << (index & 63)
	if f.oneof != 0 {
		if err := s.choose(l, fr, f.oneof, index, depth); err != nil {
			return err
		}
	}
	switch f.shape {
	case single, implicit:
		bits &= f.mask
	case text, implicitText:
		if f.utf8 && *seen&bit != 0 && !utf8.Valid(s.text(s.slots[fr.slots+int(index)].bits)) {
			return errMalformed
		}
		if f.shape == implicitText && isEmpty(bits) {
			*seen &^= bit
			return nil
		}
	case message:
		if *seen&bit != 0 {
			s.chain(&s.slots[fr.slots+int(index)], bits)
			return nil
		}
	case list, mapped: // have no business here
	}
	*seen |= bit
	s.slots[fr.slots+int(index)] = slot{bits: bits}
	return nil
}

// extend adds an occurrence of a list or map to its last run, or as a new one.
func (s *scratch) extend(fr frame, index uint32, start, end int) {
	sl := &s.slots[fr.slots+int(index)]
	seen := &s.seen[fr.seen+int(index>>6)]
	bit := uint64(1) << (index & 63)
	if *seen&bit == 0 {
		*seen |= bit
		*sl = slot{bits: span(start, end)}
		return
	}
	at := &sl.bits
	if sl.last != 0 {
		at = &s.runs[sl.last-1].at
	}
	if from, to := bounds(*at); to == start {
		*at = span(from, end)
		return
	}
	s.chain(sl, span(start, end))
}

// chain adds a part or run to a slot.
func (s *scratch) chain(sl *slot, at uint64) {
	s.runs = append(s.runs, run{at: at})
	n := uint32(len(s.runs))
	if sl.last == 0 {
		sl.more = n
	} else {
		s.runs[sl.last-1].next = n
	}
	sl.last = n
}

// choose makes a field the set case of its oneof. What was set before is dropped, but must have been well formed.
func (s *scratch) choose(l *layout, fr frame, oneof, index uint32, depth int) *Error {
	set := &s.seen[fr.seen+l.words+int(oneof)-1]
	before := uint32(*set)
	*set = uint64(index)
	if before == 0 || before == index {
		return nil
	}
	s.seen[fr.seen+int(before>>6)] &^= 1 << (before & 63)
	return s.dropped(&l.fields[before], s.slots[fr.slots+int(before)], depth)
}

// set is the index of the set case of a oneof in a frame; 0 where none is.
func (s *scratch) set(l *layout, fr frame, oneof uint32) int {
	if oneof == 0 {
		return 0
	}
	return int(s.seen[fr.seen+l.words+int(oneof)-1])
}

// lastOf looks for a field, or where that is the case of a oneof, for all of those, in all of the message. It returns the
// index and value of the last occurrence; index 0 is none.
func (s *scratch) lastOf(l *layout, index uint32) (found uint32, value uint64) {
	w, f := s.wire, &l.fields[index]
	for i := 0; i < len(w); {
		tag := uint64(w[i])
		if i++; tag >= 0x80 {
			if tag, i = varint(w, i-1); i < 0 {
				break
			}
		}
		var bits uint64
		if tag&7 == wireBytes && i < len(w) && w[i] < 0x80 && int(w[i]) < len(w)-i { // as most are
			i++
			bits = span(i, i+int(w[i-1]))
			i += int(w[i-1])
		} else if bits, i = valueAt(w, tag, i); i < 0 {
			break
		}
		switch {
		case tag == f.tag():
			found, value = index, bits
		case f.oneof != 0:
			if other := l.find(tag >> 3); l.fields[other].oneof == f.oneof && l.fields[other].wire == uint8(tag&7) {
				found, value = other, bits
			}
		}
	}
	return found, value
}

// dropped checks a singular value that another one has taken the place of.
func (s *scratch) dropped(f *field, sl slot, depth int) *Error {
	err := s.checkValue(f, sl.bits, depth)
	if f.shape != message {
		return err
	}
	for more := sl.more; more != 0 && err == nil; more = s.runs[more-1].next {
		err = s.checkValue(f, s.runs[more-1].at, depth)
	}
	return err
}

// skip reads past a field that is not in the layout. It returns errGrown where the field is an extension that the
// layout now has.
func skip(p *Program, l *layout, w []byte, tag uint64, i int) (int, *Error) {
	number := tag >> 3
	if number == 0 || number > uint64(protowire.MaxValidNumber) {
		return i, errMalformed
	}
	if l.extensible && p.grow(l, protowire.Number(number)) {
		return i, errGrown
	}
	if _, i = valueAt(w, tag, i); i < 0 {
		return i, errMalformed
	}
	return i, nil
}

// valueAt reads the value at w[i:] of a field with a tag, and returns where it ends; a negative end is an error. Of
// bytes and groups the value is the span of what is inside.
func valueAt(w []byte, tag uint64, i int) (bits uint64, end int) {
	switch tag & 7 {
	case wireVarint:
		if i < len(w) && w[i] < 0x80 {
			return uint64(w[i]), i + 1
		}
		return varint(w, i)
	case wireBytes:
		var n uint64
		if i < len(w) && w[i] < 0x80 {
			n = uint64(w[i])
			i++
		} else if n, i = varint(w, i); i < 0 {
			return 0, -1
		}
		if n > uint64(len(w)-i) {
			return 0, -1
		}
		return span(i, i+int(n)), i + int(n)
	case wireFixed32:
		if len(w)-i < 4 {
			return 0, -1
		}
		return uint64(binary.LittleEndian.Uint32(w[i:])), i + 4
	case wireFixed64:
		if len(w)-i < 8 {
			return 0, -1
		}
		return binary.LittleEndian.Uint64(w[i:]), i + 8
	case wireGroup:
		content, n := protowire.ConsumeGroup(protowire.Number(tag>>3), w[i:])
		if n < 0 {
			return 0, -1
		}
		return span(i, i+len(content)), i + n
	default:
		return 0, -1
	}
}

// varint reads the varint at w[i:], and returns where it ends; a negative end is an error.
func varint(w []byte, i int) (v uint64, end int) {
	for shift := uint(0); shift < 64 && i < len(w); shift += 7 {
		b := w[i]
		i++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if shift == 63 && b > 1 {
				return 0, -1
			}
			return v, i
		}
	}
	return 0, -1
}
