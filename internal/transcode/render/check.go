package render

import "unicode/utf8"

// check reads a message at a span as a decoder does, strictly in the order of the wire, and returns the first error.
// What it accepts may still have no JSON form. depth is how many levels of messages may begin here.
func (s *scratch) check(p *Program, at uint64, depth int) *Error {
	if depth--; depth < 0 {
		return &Error{Reason: TooDeep, In: p.message.FullName()}
	}
	l := p.layout()
	i, end := bounds(at)
	w := s.wire[:end]
	for i < len(w) {
		tag, next := varint(w, i)
		if next < 0 {
			return p.malformed()
		}
		index := l.find(tag >> 3)
		if index == 0 {
			var err *Error
			switch i, err = skip(p, l, w, tag, next); err {
			case nil:
			case errGrown:
				return s.check(p, at, depth+1)
			default:
				return p.malformed()
			}
			continue
		}
		f := &l.fields[index]
		if f.shape == mapped && depth == 0 {
			return &Error{Reason: TooDeep, In: *f.full}
		}
		bits, next := valueAt(w, tag, next)
		if next < 0 {
			return p.malformed()
		}
		i = next
		var err *Error
		switch {
		case uint8(tag&7) == f.wire:
			err = s.checkValue(f, bits, depth)
		case tag&7 == wireBytes && f.packs:
			err = s.checkPacked(f, bits)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Program) malformed() *Error { return &Error{Reason: Malformed, In: p.message.FullName()} }

// checkValue checks one value of a field.
func (s *scratch) checkValue(f *field, bits uint64, depth int) *Error {
	switch {
	case f.sub != nil:
		return s.check(f.sub, bits, depth)
	case f.utf8 && !utf8.Valid(s.text(bits)):
		return &Error{Reason: UTF8, In: *f.full}
	}
	return nil
}

// checkPacked checks a block of numbers.
func (s *scratch) checkPacked(f *field, at uint64) *Error {
	i, end := bounds(at)
	for i < end {
		if _, i = valueAt(s.wire[:end], uint64(f.wire), i); i < 0 {
			return &Error{Reason: Malformed, In: *f.full}
		}
	}
	return nil
}
