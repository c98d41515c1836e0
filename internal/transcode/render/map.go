package render

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// entry is one entry of a map.
type entry struct {
	key   uint64 // a number that sorts as the key does; of a string its span
	value uint64 // as slot.bits
	more  uint32 // as slot.more
	unset bool   // it has no value
}

// An entry is a message like any other, whose fields have these numbers and, since it has no others, these places.
const (
	keyNumber   = 1
	valueNumber = 2
)

// entriesOf writes a map that is not empty, in the order of its keys: false before true, numbers and strings ascending.
func (s *scratch) entriesOf(dst []byte, f *field, sl slot, depth int) ([]byte, *Error) {
	l := f.sub.layout()
	key, value := &l.fields[l.find(keyNumber)], &l.fields[l.find(valueNumber)]
	base := len(s.entries)
	err := s.collect(f.sub, key, value, sl.bits, depth)
	for more := sl.more; more != 0 && err == nil; more = s.runs[more-1].next {
		err = s.collect(f.sub, key, value, s.runs[more-1].at, depth)
	}
	if err == nil {
		err = s.sort(key, value, base, depth-1)
	}
	start := len(dst)
	for i := base; i < len(s.entries) && err == nil; i++ {
		dst, err = s.entry(dst, key, value, s.entries[i], depth-1)
	}
	if len(dst) > start {
		dst[start] = '{' // in place of the first comma
	}
	s.entries = s.entries[:base]
	return append(dst, '}'), err
}

// collect notes the entries in a run.
func (s *scratch) collect(p *Program, key, value *field, at uint64, depth int) *Error {
	i, end := bounds(at)
	w := s.wire[:end]
	for i < len(w) {
		content, next, ok := short(w, i, w[i])
		if !ok {
			var tag uint64
			tag, next = varint(w, i)
			content, next = valueAt(w, tag, next)
		}
		i = next
		e, ok := s.plainEntry(content, key, value)
		if !ok {
			var err *Error
			if e, err = s.anyEntry(p, content, depth); err != nil {
				return err
			}
		}
		if key.value != str {
			e.key = sortable(key.value, e.key)
		}
		s.entries = append(s.entries, e)
	}
	return nil
}

// plainEntry reads an entry as nearly all are encoded, which takes no frame: a key, a value, and nothing else. It
// reports false for others.
func (s *scratch) plainEntry(at uint64, key, value *field) (e entry, ok bool) {
	i, end := bounds(at)
	w := s.wire[:end]
	if e.key, i, ok = part(w, i, keyNumber<<3|key.wire); !ok {
		return e, false
	}
	e.key &= key.mask
	e.value, i, ok = part(w, i, valueNumber<<3|value.wire)
	return e, ok && i == len(w)
}

// part reads a field with a tag at w[i:], if it is that.
func part(w []byte, i int, tag byte) (v uint64, next int, ok bool) {
	if v, next, ok = short(w, i, tag); ok {
		return v, next, true
	}
	if i >= len(w) || w[i] != tag {
		return 0, i, false
	}
	v, next = valueAt(w, uint64(tag), i+1)
	return v, next, next >= 0
}

// anyEntry reads any entry.
func (s *scratch) anyEntry(p *Program, at uint64, depth int) (entry, *Error) {
	l, fr, err := s.read(p, at, 0, depth-1)
	k, v := int(l.find(keyNumber)), int(l.find(valueNumber))
	e := entry{key: s.number(fr, k), unset: true}
	if err == nil && s.has(fr, v) {
		sl := s.slots[fr.slots+v]
		e = entry{key: e.key, value: sl.bits}
		if l.fields[v].shape == message {
			e.more = sl.more
		}
	}
	runs := s.runs // parts of the value are still needed
	s.pop(fr)
	s.runs = runs
	return e, err
}

// sort sorts the entries from base on, and leaves of those with one key the last.
func (s *scratch) sort(key, value *field, base, depth int) *Error {
	entries := s.entries[base:]
	if len(entries) == 1 {
		return nil
	}
	ascending := true
	for i := 1; i < len(entries) && ascending; i++ {
		ascending = s.compare(key, entries[i-1].key, entries[i].key) < 0
	}
	if ascending {
		return nil
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return s.compare(key, a.key, b.key) })
	kept := entries[:0]
	for i, e := range entries {
		if i+1 < len(entries) && s.compare(key, e.key, entries[i+1].key) == 0 {
			if e.unset {
				continue
			}
			if err := s.dropped(value, slot{bits: e.value, more: e.more}, depth); err != nil {
				return err
			}
			continue
		}
		kept = append(kept, e)
	}
	s.entries = s.entries[:base+len(kept)]
	return nil
}

// compare compares two keys.
func (s *scratch) compare(key *field, a, b uint64) int {
	if key.value == str {
		return bytes.Compare(s.text(a), s.text(b))
	}
	return cmp.Compare(a, b)
}

// entry writes one entry, with a comma before it.
func (s *scratch) entry(dst []byte, key, value *field, e entry, depth int) ([]byte, *Error) {
	var err *Error
	if key.value == str {
		dst, err = s.string(append(dst, ','), key, e.key)
	} else {
		dst = append(appendKey(append(dst, ',', '"'), key.value, e.key), '"')
	}
	switch {
	case err != nil:
		return dst, err
	case value.value == str:
		return s.string(append(dst, ':'), value, e.value)
	case e.unset:
		depth = max(depth, 1) // what is not there is not too deep
	}
	return s.value(append(dst, ':'), value, e.value, e.more, depth)
}

// sign is the bit that makes signed numbers sort as unsigned ones when it is turned over.
const sign = 1 << 63

// sortable is a number that sorts as the key does.
func sortable(k kind, v uint64) uint64 {
	switch k {
	case boolean:
		return min(v, 1)
	case signed32:
		return uint64(int64(int32(v))) ^ sign
	case zigzag32:
		return uint64(unzigzag(v&mask32)) ^ sign
	case signed64:
		return v ^ sign
	case zigzag64:
		return uint64(unzigzag(v)) ^ sign
	default:
		return v
	}
}

func appendKey(dst []byte, k kind, sorted uint64) []byte {
	switch k {
	case boolean:
		return strconv.AppendBool(dst, sorted != 0)
	case unsigned32, unsigned64:
		return strconv.AppendUint(dst, sorted, 10)
	default:
		return strconv.AppendInt(dst, int64(sorted^sign), 10)
	}
}
