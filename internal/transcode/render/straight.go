package render

// straight writes a message at a span while it reads it, in one pass and without a frame. That is possible where it is
// encoded as encoders do it: with its fields in the order of JSON, each once, and one of a oneof. Where it is not, the
// error is errCrooked, and messages of the type are read into a frame from then on; where anything is wrong it is
// errCrooked, too, so that only one way of reading says what. depth is as for read.
func (s *scratch) straight(dst []byte, p *Program, l *layout, at uint64, depth int) ([]byte, *Error) {
	start := len(dst)
	i, end := bounds(at)
	w := s.wire[:end]
	last, oneofs := uint32(0), uint64(0)
	for i < len(w) {
		begin := i
		tag := uint64(w[i])
		index := uint32(0)
		if i++; tag < 0x80 {
			index = uint32(l.common[tag])
		}
		if index == 0 {
			if index, tag, i = uncommon(p, l, w, begin); i < 0 {
				return dst, errCrooked
			} else if index == 0 {
				continue
			}
		}
		f := &l.fields[index]
		if index <= last || f.oneof != 0 && !first(&oneofs, f.oneof) {
			return dst, p.crook()
		}
		last = index
		var bits uint64
		if tag&7 == wireBytes && i < len(w) && w[i] < 0x80 && int(w[i]) < len(w)-i { // as most are
			i++
			bits = span(i, i+int(w[i-1]))
			i += int(w[i-1])
		} else if bits, i = valueAt(w, tag, i); i < 0 {
			return dst, errCrooked
		}
		var err *Error
		switch {
		case f.shape >= list:
			if f.wire != uint8(tag&7) && isEmpty(bits) {
				return dst, p.crook() // a block of none, which is as good as unset, may be in front of others
			}
			if i = repeats(w, i, tag); i < 0 {
				return dst, errCrooked
			}
			dst, err = s.run(f.appendName(dst), f, span(begin, i), depth)
		case f.shape == implicitText && isEmpty(bits), f.shape == implicit && bits&f.mask == 0:
		case f.value == str:
			var ok bool
			if dst, ok = appendText(f.appendName(dst), s.text(bits)); !ok {
				return dst, errCrooked
			}
		case f.shape == message:
			dst, err = s.message(f.appendName(dst), f.sub, bits, 0, depth)
		default:
			dst, err = s.value(f.appendName(dst), f, bits, 0, depth)
		}
		if err != nil {
			return dst, err
		}
	}
	return closed(dst, start), nil
}

// crook notes that messages of the type are not encoded in order.
func (p *Program) crook() *Error {
	p.crooked.Store(true)
	return errCrooked
}

// uncommon reads a tag that is not among the common ones, at w[i:]. The index is 0 where that is of an unknown field,
// which is then passed by. A negative next place stands for everything that is not straight.
func uncommon(p *Program, l *layout, w []byte, i int) (index uint32, tag uint64, next int) {
	if tag, i = varint(w, i); i < 0 {
		return 0, 0, -1
	}
	index = l.find(tag >> 3)
	if index == 0 {
		next, err := skip(p, l, w, tag, i)
		if err != nil {
			return 0, 0, -1
		}
		return 0, tag, next
	}
	if !l.fields[index].takes(uint8(tag & 7)) {
		_ = p.crook()
		return 0, 0, -1
	}
	return index, tag, i
}

// first reports whether a oneof has not been set before, and notes that it is.
func first(oneofs *uint64, oneof uint32) bool {
	bit := uint64(1) << (oneof & 63)
	if oneof > 63 || *oneofs&bit != 0 {
		return false
	}
	*oneofs |= bit
	return true
}

// repeats is where the occurrences of a field end that follow each other from w[i:] on; negative is an error.
func repeats(w []byte, i int, tag uint64) int {
	for i >= 0 {
		if tag < 0x80 {
			i = runEnd(w, i, byte(tag))
		}
		t, next := varint(w, i)
		if next < 0 || t != tag {
			return i
		}
		_, i = valueAt(w, tag, next)
	}
	return i
}

// run writes a list or map that is all in one run.
func (s *scratch) run(dst []byte, f *field, at uint64, depth int) ([]byte, *Error) {
	if f.shape == mapped && depth == 0 {
		return dst, errTooDeep
	}
	return s.field(dst, f, slot{bits: at}, depth)
}
