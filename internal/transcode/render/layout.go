package render

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// layout is the table of a message's fields.
//
//   - fields[0] is no field: its index stands for "unknown". The others are in the order of JSON: the message's own as
//     they are declared, so that the place of a descriptor is its Index() + 1, and then extensions by full name.
//   - dense has the index of each field by its number, as far as it goes; sparse has the rest.
//   - common has the index of each field by its tags of one byte: that of one value, and that of a block of them.
type layout struct {
	common [128]uint16
	fields []field
	dense  []uint32
	sparse map[uint64]uint32
	words  int      // of 64 bits each: one bit for each of fields
	oneofs []uint32 // by the descriptor's Index(): 1 + the oneof's place behind those words; 0 for one of a proto3 optional
	cases  int      // how many oneofs have a place

	extensible bool
	form       wellKnown
}

// maxDense is the largest field number that is found without a map.
const maxDense = 511

func newLayout(t *Types, md protoreflect.MessageDescriptor, extensions []protoreflect.ExtensionTypeDescriptor) *layout {
	own := md.Fields()
	l := &layout{
		fields:     make([]field, 1, 1+own.Len()+len(extensions)),
		oneofs:     make([]uint32, md.Oneofs().Len()),
		extensible: md.ExtensionRanges().Len() > 0,
	}
	for i := range md.Oneofs().Len() {
		if !md.Oneofs().Get(i).IsSynthetic() {
			l.cases++
			l.oneofs[i] = uint32(l.cases)
		}
	}
	for i := range own.Len() {
		l.add(newField(t, own.Get(i)), l.oneofOf(own.Get(i)))
	}
	sorted := slices.SortedFunc(slices.Values(extensions), func(a, b protoreflect.ExtensionTypeDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	for _, xd := range sorted {
		l.add(newField(t, xd), 0)
	}
	l.words = (len(l.fields) + 63) / 64
	l.form = wellKnownForm(md)
	return l
}

func (l *layout) oneofOf(fd protoreflect.FieldDescriptor) uint32 {
	if od := fd.ContainingOneof(); od != nil {
		return l.oneofs[od.Index()]
	}
	return 0
}

func (l *layout) add(f field, oneof uint32) {
	f.oneof = oneof
	index := uint32(len(l.fields))
	l.fields = append(l.fields, f)
	for _, wire := range []uint8{f.wire, wireBytes} {
		tag := f.tag()&^7 | uint64(wire)
		if f.takes(wire) && tag < uint64(len(l.common)) && index <= math.MaxUint16 {
			l.common[tag] = uint16(index)
		}
	}
	if f.number > maxDense {
		if l.sparse == nil {
			l.sparse = make(map[uint64]uint32)
		}
		l.sparse[uint64(f.number)] = index
		return
	}
	if grow := int(f.number) + 1 - len(l.dense); grow > 0 {
		l.dense = append(l.dense, make([]uint32, grow)...)
	}
	l.dense[f.number] = index
}

// find returns the index of the field with a number, 0 for none.
func (l *layout) find(number uint64) uint32 {
	if number < uint64(len(l.dense)) {
		return l.dense[number]
	}
	return l.sparse[number]
}

// field is how one field is read and written. What reading needs comes first.
type field struct {
	mask   uint64 // the bits of a number that count
	number protowire.Number
	oneof  uint32 // 1 + its oneof's place among those of the layout; 0 for none
	shape  shape
	wire   uint8 // the wire type of one value
	packs  bool  // a list that may be written as one block
	utf8   bool  // a decoder refuses other bytes
	value  kind
	name   string // `,"jsonName":`
	sub    *Program
	enum   *enum
	full   *protoreflect.FullName // for errors

	head [headLen]byte // the beginning of name
}

// tag is that of one value.
func (f *field) tag() uint64 { return uint64(f.number)<<3 | uint64(f.wire) }

// takes reports whether the field may come with a wire type.
func (f *field) takes(wire uint8) bool { return wire == f.wire || f.packs && wire == wireBytes }

// headLen is how much of a name is copied at once: more than most have.
const headLen = 32

// appendName appends the field's name. Where there is room it writes more than that, since what is behind dst is
// written next in any case.
func (f *field) appendName(dst []byte) []byte {
	if at := len(dst); len(f.name) <= headLen && cap(dst)-at >= headLen {
		dst = dst[:at+headLen]
		*(*[headLen]byte)(dst[at:]) = f.head
		return dst[:at+len(f.name)]
	}
	return append(dst, f.name...)
}

// shape is how a field's occurrences make up its value.
type shape uint8

const (
	single       shape = iota // a number; the last one counts
	implicit                  // the same, and zero is as good as unset
	text                      // a string or bytes; the last one counts
	implicitText              // the same, and an empty one is as good as unset
	message                   // a message, which may come in parts
	list                      // several values
	mapped                    // entries, of which the last with a key counts
)

// newField makes the field of a descriptor.
func newField(t *Types, fd protoreflect.FieldDescriptor) field {
	form := forms[fd.Kind()]
	f := field{
		name:   jsonName(fd.JSONName()),
		mask:   form.mask,
		number: fd.Number(),
		wire:   form.wire,
		value:  form.value,
		full:   new(fd.FullName()),
	}
	copy(f.head[:], f.name)
	if f.name == "" {
		f.value = unnameable
	}
	switch {
	case fd.Message() != nil:
		f.sub = t.Program(fd.Message())
	case fd.Enum() != nil:
		f.enum = newEnum(fd.Enum())
		if fd.Enum().FullName() == "google.protobuf.NullValue" {
			f.value = null
		}
	case fd.Kind() == protoreflect.StringKind:
		f.utf8 = validatesUTF8(fd)
	}
	f.packs = fd.IsList() && f.wire != wireBytes && f.wire != wireGroup
	f.shape = shapeOf(fd)
	if f.shape == mapped {
		f.wire = wireBytes
	}
	return f
}

func shapeOf(fd protoreflect.FieldDescriptor) shape {
	isText := fd.Kind() == protoreflect.StringKind || fd.Kind() == protoreflect.BytesKind
	explicit := fd.HasPresence() || fd.IsExtension()
	switch {
	case fd.IsMap():
		return mapped
	case fd.IsList():
		return list
	case fd.Message() != nil:
		return message
	case isText && explicit:
		return text
	case isText:
		return implicitText
	case explicit:
		return single
	default:
		return implicit
	}
}

// validatesUTF8 reports whether a decoder refuses bytes in a string field that are not UTF-8. It asks as the protobuf
// module does, which has no exported way to: an extension in a file of an edition is not validated when it is read.
func validatesUTF8(fd protoreflect.FieldDescriptor) bool {
	if fd.Syntax() == protoreflect.Editions {
		if feature, ok := fd.(interface{ EnforceUTF8() bool }); ok {
			return feature.EnforceUTF8()
		}
	}
	return fd.Syntax() == protoreflect.Proto3
}

// jsonName is how a name stands in an object. It is empty for a name that is not UTF-8.
func jsonName(name string) string {
	b, ok := appendText([]byte{','}, []byte(name))
	if !ok {
		return ""
	}
	return string(append(b, ':'))
}
