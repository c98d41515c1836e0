package render

import (
	"encoding/base64"
	"math"
	"math/bits"
	"strconv"
)

// message writes a message in its parts: the one at a span, and more. depth is how many levels of messages may begin
// here.
func (s *scratch) message(dst []byte, p *Program, at uint64, more uint32, depth int) ([]byte, *Error) {
	if depth--; depth < 0 {
		return dst, errTooDeep
	}
	l := p.layout()
	if l.form.isTime() && more == 0 {
		if seconds, nanos, ok := s.readTime(at); ok {
			return s.time(dst, l.form, seconds, nanos)
		}
	}
	if more == 0 && l.form == object && !s.careful && !p.crooked.Load() {
		return s.straight(dst, p, l, at, depth)
	}
	l, fr, err := s.read(p, at, more, depth)
	if err == nil {
		dst, err = s.whole(dst, p, l, fr, depth)
	}
	s.pop(fr)
	return dst, err
}

// whole writes the message that has been read into a frame.
func (s *scratch) whole(dst []byte, p *Program, l *layout, fr frame, depth int) ([]byte, *Error) {
	if l.form != object {
		return s.wellKnown(dst, p, l, fr, depth)
	}
	start := len(dst)
	dst, err := s.fields(dst, l, fr, depth)
	return closed(dst, start), err
}

// closed makes an object of the fields from a place on.
func closed(dst []byte, start int) []byte {
	if len(dst) == start {
		return append(dst, "{}"...)
	}
	dst[start] = '{' // in place of the first name's comma
	return append(dst, '}')
}

// fields writes the fields of a frame, each with a comma before it.
func (s *scratch) fields(dst []byte, l *layout, fr frame, depth int) ([]byte, *Error) {
	var err *Error
	for word := range l.words {
		for set := s.seen[fr.seen+word]; set != 0; set &= set - 1 {
			index := word<<6 + bits.TrailingZeros64(set)
			f := &l.fields[index]
			sl := &s.slots[fr.slots+index]
			dst = f.appendName(dst)
			switch {
			case f.value == str && f.shape < list:
				var ok bool
				if dst, ok = appendText(dst, s.text(sl.bits)); !ok {
					err = s.failText(f)
				}
			case f.shape == message:
				dst, err = s.message(dst, f.sub, sl.bits, sl.more, depth)
			case f.shape < list:
				dst, err = s.value(dst, f, sl.bits, 0, depth)
			default:
				dst, err = s.field(dst, f, *sl, depth)
			}
			if err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// field writes the value of a field that is set.
func (s *scratch) field(dst []byte, f *field, sl slot, depth int) ([]byte, *Error) {
	switch f.shape {
	case list:
		return s.list(dst, f, sl, depth)
	case mapped:
		return s.entriesOf(dst, f, sl, depth)
	default:
		return s.value(dst, f, sl.bits, sl.more, depth)
	}
}

// value writes one value.
func (s *scratch) value(dst []byte, f *field, v uint64, more uint32, depth int) ([]byte, *Error) {
	switch f.value {
	case boolean:
		return strconv.AppendBool(dst, v != 0), nil
	case enumerated:
		if name := f.enum.name(int32(v)); name != "" {
			return append(dst, name...), nil
		}
		return strconv.AppendInt(dst, int64(int32(v)), 10), nil
	case null:
		return append(dst, "null"...), nil
	case signed32:
		return appendInt(dst, int64(int32(v))), nil
	case zigzag32:
		return appendInt(dst, unzigzag(v&mask32)), nil
	case unsigned32:
		return appendUint(dst, v&mask32), nil
	case signed64:
		return append(appendInt(append(dst, '"'), int64(v)), '"'), nil
	case zigzag64:
		return append(appendInt(append(dst, '"'), unzigzag(v)), '"'), nil
	case unsigned64:
		return append(appendUint(append(dst, '"'), v), '"'), nil
	case float:
		return appendFloat(dst, float64(math.Float32frombits(uint32(v))), 32), nil
	case double:
		return appendFloat(dst, math.Float64frombits(v), 64), nil
	case str:
		return s.string(dst, f, v)
	case octets:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), s.text(v))
		return append(dst, '"'), nil
	case nested:
		return s.message(dst, f.sub, v, more, depth)
	default: // unnameable
		return dst, s.failText(f)
	}
}

// string writes a string.
func (s *scratch) string(dst []byte, f *field, v uint64) ([]byte, *Error) {
	dst, ok := appendText(dst, s.text(v))
	if !ok {
		return dst, s.failText(f)
	}
	return dst, nil
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// list writes a list that is not empty.
func (s *scratch) list(dst []byte, f *field, sl slot, depth int) ([]byte, *Error) {
	start := len(dst)
	dst, err := s.listRun(dst, f, sl.bits, depth)
	for more := sl.more; more != 0 && err == nil; more = s.runs[more-1].next {
		dst, err = s.listRun(dst, f, s.runs[more-1].at, depth)
	}
	if len(dst) > start {
		dst[start] = '[' // in place of the first comma
	}
	return append(dst, ']'), err
}

// listRun writes the values in a run, each with a comma before it.
func (s *scratch) listRun(dst []byte, f *field, at uint64, depth int) ([]byte, *Error) {
	var err *Error
	i, end := bounds(at)
	w := s.wire[:end]
	for i < len(w) {
		tag := uint64(w[i])
		if i++; tag >= 0x80 {
			tag, i = varint(w, i-1)
		}
		var v uint64
		v, i = valueAt(w, tag, i)
		if uint8(tag&7) == f.wire {
			dst, err = s.value(append(dst, ','), f, v, 0, depth)
		} else {
			dst, err = s.packed(dst, f, v)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// packed writes a block of numbers, each with a comma before it.
func (s *scratch) packed(dst []byte, f *field, at uint64) ([]byte, *Error) {
	var v uint64
	i, end := bounds(at)
	w := s.wire[:end]
	for i < len(w) {
		if v, i = valueAt(w, uint64(f.wire), i); i < 0 {
			return dst, errMalformed
		}
		dst, _ = s.value(append(dst, ','), f, v, 0, 0) // a number cannot fail
	}
	return dst, nil
}
