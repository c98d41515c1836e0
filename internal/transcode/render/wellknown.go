package render

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// wellKnown is how a message is written.
type wellKnown uint8

const (
	object   wellKnown = iota // as an object with its fields
	anything                  // google.protobuf.Any, and so on
	timestamp
	duration
	fieldMask
	structure
	listValue
	anyValue
	wrapper
)

// known describes a well-known type: the fields that its form is made of, by the numbers from 1 on.
type known struct {
	form   wellKnown
	fields []protoreflect.Kind
	lists  bool // the field is a list or a map
}

var knowns = func() map[protoreflect.FullName]known {
	text, data := protoreflect.StringKind, protoreflect.BytesKind
	long, short, sub := protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.MessageKind
	all := map[string]known{
		"Any":       {form: anything, fields: []protoreflect.Kind{text, data}},
		"Timestamp": {form: timestamp, fields: []protoreflect.Kind{long, short}},
		"Duration":  {form: duration, fields: []protoreflect.Kind{long, short}},
		"FieldMask": {form: fieldMask, fields: []protoreflect.Kind{text}, lists: true},
		"Struct":    {form: structure, fields: []protoreflect.Kind{sub}, lists: true},
		"ListValue": {form: listValue, fields: []protoreflect.Kind{sub}, lists: true},
		"Value": {form: anyValue, fields: []protoreflect.Kind{
			protoreflect.EnumKind, protoreflect.DoubleKind, text, protoreflect.BoolKind, sub, sub,
		}},
	}
	for name, k := range map[string]protoreflect.Kind{
		"Bool": protoreflect.BoolKind, "Int32": short, "Int64": long, "UInt32": protoreflect.Uint32Kind,
		"UInt64": protoreflect.Uint64Kind, "Float": protoreflect.FloatKind, "Double": protoreflect.DoubleKind,
		"String": text, "Bytes": data,
	} {
		all[name+"Value"] = known{form: wrapper, fields: []protoreflect.Kind{k}}
	}
	named := make(map[protoreflect.FullName]known)
	for name, k := range all {
		named["google.protobuf."+protoreflect.FullName(name)] = k
	}
	return named
}()

// wellKnownForm is how messages of a descriptor are written. One that only has the name of a well-known type, and not
// its fields, is an object like any other.
func wellKnownForm(md protoreflect.MessageDescriptor) wellKnown {
	k, ok := knowns[md.FullName()]
	if !ok || md.Fields().Len() != len(k.fields) {
		return object
	}
	for i, kind := range k.fields {
		fd := md.Fields().Get(i)
		if int(fd.Number()) != i+1 || fd.Kind() != kind || (fd.Cardinality() == protoreflect.Repeated) != k.lists {
			return object
		}
	}
	if k.form == structure && !md.Fields().Get(0).IsMap() || k.form == listValue && md.Fields().Get(0).IsMap() {
		return object
	}
	return k.form
}

// wellKnown writes the message in a frame that is of a well-known type. Its fields are at the places of their numbers.
func (s *scratch) wellKnown(dst []byte, p *Program, l *layout, fr frame, depth int) ([]byte, *Error) {
	switch l.form {
	case anything:
		return s.any(dst, p, fr)
	case timestamp, duration:
		return s.time(dst, l.form, int64(s.number(fr, 1)), int32(s.number(fr, 2)))
	case fieldMask:
		return s.fieldMask(dst, &l.fields[1], fr)
	case anyValue:
		return s.anyValue(dst, l, fr, depth)
	case wrapper:
		return s.value(dst, &l.fields[1], s.number(fr, 1), 0, depth)
	case structure, listValue:
		if s.has(fr, 1) {
			return s.field(dst, &l.fields[1], s.slots[fr.slots+1], depth)
		}
		if l.form == listValue {
			return append(dst, "[]"...), nil
		}
	case object:
	}
	return append(dst, "{}"...), nil
}

// anyValue writes a google.protobuf.Value, which must have something in it.
func (s *scratch) anyValue(dst []byte, l *layout, fr frame, depth int) ([]byte, *Error) {
	for i := 1; i < len(l.fields); i++ {
		if !s.has(fr, i) {
			continue
		}
		f, sl := &l.fields[i], s.slots[fr.slots+i]
		if f.value == double {
			if n := math.Float64frombits(sl.bits); math.IsNaN(n) || math.IsInf(n, 0) {
				return dst, s.fail(noJSON(*f.full, "%v", n))
			}
		}
		return s.value(dst, f, sl.bits, sl.more, depth)
	}
	return dst, s.fail(noJSON("google.protobuf.Value", "nothing in it"))
}

// fieldMask writes the paths of a google.protobuf.FieldMask, with commas between them.
func (s *scratch) fieldMask(dst []byte, f *field, fr frame) ([]byte, *Error) {
	dst = append(dst, '"')
	if !s.has(fr, 1) {
		return append(dst, '"'), nil
	}
	start := len(dst)
	sl := s.slots[fr.slots+1]
	for at, more := sl.bits, sl.more; ; at, more = s.runs[more-1].at, s.runs[more-1].next {
		i, end := bounds(at)
		for i < end {
			tag, next := varint(s.wire[:end], i)
			var path uint64
			path, i = valueAt(s.wire[:end], tag, next)
			if len(dst) > start {
				dst = append(dst, ',')
			}
			var err *Error
			if dst, err = s.path(dst, f, s.text(path)); err != nil {
				return dst, err
			}
		}
		if more == 0 {
			return append(dst, '"'), nil
		}
	}
}

// path writes one path of a FieldMask.
func (s *scratch) path(dst []byte, f *field, path []byte) ([]byte, *Error) {
	dst, ok := appendPath(dst, path)
	switch {
	case ok:
		return dst, nil
	case !utf8.Valid(path):
		return dst, s.failText(f)
	default:
		return dst, s.fail(noJSON(*f.full, "the path %.100q", path))
	}
}

// appendPath appends a path of fields in lowerCamelCase. It reports false for one that is not made of names with dots
// between them, or that could not be turned back into itself.
func appendPath(dst, path []byte) ([]byte, bool) {
	begins := true // a name begins
	for i := 0; i < len(path); i++ {
		c := path[i]
		lower := 'a' <= c && c <= 'z'
		switch {
		case c == '_':
			if i++; i == len(path) || path[i] < 'a' || path[i] > 'z' {
				return dst, false
			}
			dst = append(dst, path[i]-'a'+'A')
		case lower, !begins && (c == '.' || '0' <= c && c <= '9'):
			dst = append(dst, c)
		default:
			return dst, false
		}
		begins = c == '.'
	}
	return dst, !begins
}
