package transcode

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// canonicalVersion is the first byte of a canonical request. What is stored or handed to clients depends on these
// bytes: any change to the encoding below takes a new version.
const canonicalVersion = 1

// AppendCanonical appends the canonical encoding of a message: equal messages give equal bytes, different messages
// different ones, in every build. (Protobuf's own deterministic form promises neither across builds.) An Any whose type
// is in types counts by the message inside it, not by its bytes.
//
//	canonical := version value          always 'm' or 'a'
//	message   := n field*n              fields that are set, by number; then unknown ones, by number
//	field     := number value
//	value     := 'b' 0|1                bool
//	           | 'i' zigzag | 'u' uvarint
//	           | 'e' zigzag             enum
//	           | 'f' 4 bytes | 'd' 8 bytes   big-endian; every NaN is one
//	           | 's' len bytes | 'x' len bytes
//	           | 'm' message
//	           | 'l' n value*n          repeated
//	           | 'p' n (value value)*n  map, by the bytes of the key
//	           | 'a' len url value      an Any whose type is known, and what is in it
//	           | 'r' len bytes          an unknown field as it was received, all of one number together
//
// n, len and number are uvarints. A field without presence that has its default value is not set.
func AppendCanonical(dst []byte, m protoreflect.Message, types *dynamicpb.Types) []byte {
	c := canonicalizer{types: resolver(types)}
	return c.submessage(append(dst, canonicalVersion), m)
}

type canonicalizer struct {
	types    *dynamicpb.Types
	anyDepth int // Any around what is being written
}

type canonicalField struct {
	number  protoreflect.FieldNumber
	fd      protoreflect.FieldDescriptor // nil: unknown
	value   protoreflect.Value
	unknown []byte
}

func (c canonicalizer) message(dst []byte, m protoreflect.Message) []byte {
	var fields []canonicalField
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		fields = append(fields, canonicalField{number: fd.Number(), fd: fd, value: v})
		return true
	})
	slices.SortFunc(fields, func(a, b canonicalField) int { return int(a.number) - int(b.number) })
	fields = append(fields, unknownFields(m.GetUnknown())...)
	dst = binary.AppendUvarint(dst, uint64(len(fields)))
	for _, f := range fields {
		dst = binary.AppendUvarint(dst, uint64(f.number))
		if f.fd == nil {
			dst = appendBytes(append(dst, 'r'), f.unknown)
			continue
		}
		dst = c.field(dst, f.fd, f.value)
	}
	return dst
}

// unknownFields takes unknown fields apart, by number, those of one number in the order they came in.
func unknownFields(raw []byte) []canonicalField {
	var fields []canonicalField
	for len(raw) > 0 {
		number, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			number, n = 0, len(raw) // cannot be: the message was decoded
		}
		i := slices.IndexFunc(fields, func(f canonicalField) bool { return f.number == number })
		if i < 0 {
			i = len(fields)
			fields = append(fields, canonicalField{number: number})
		}
		fields[i].unknown = append(fields[i].unknown, raw[:n]...)
		raw = raw[n:]
	}
	slices.SortFunc(fields, func(a, b canonicalField) int { return int(a.number) - int(b.number) })
	return fields
}

func (c canonicalizer) field(dst []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch {
	case fd.IsList():
		list := v.List()
		dst = binary.AppendUvarint(append(dst, 'l'), uint64(list.Len()))
		for i := range list.Len() {
			dst = c.single(dst, fd, list.Get(i))
		}
		return dst
	case fd.IsMap():
		return c.mapping(dst, fd, v.Map())
	default:
		return c.single(dst, fd, v)
	}
}

func (c canonicalizer) mapping(dst []byte, fd protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	type entry struct {
		key   []byte
		value protoreflect.Value
	}
	entries := make([]entry, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		entries = append(entries, entry{c.single(nil, fd.MapKey(), k.Value()), v})
		return true
	})
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	dst = binary.AppendUvarint(append(dst, 'p'), uint64(len(entries)))
	for _, e := range entries {
		dst = append(dst, e.key...)
		dst = c.single(dst, fd.MapValue(), e.value)
	}
	return dst
}

// single appends one value that is neither a list nor a map.
func (c canonicalizer) single(dst []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return append(dst, 'b', byte(protowire.EncodeBool(v.Bool())))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return binary.AppendVarint(append(dst, 'i'), v.Int())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return binary.AppendUvarint(append(dst, 'u'), v.Uint())
	case protoreflect.EnumKind:
		return binary.AppendVarint(append(dst, 'e'), int64(v.Enum()))
	case protoreflect.FloatKind:
		f := float32(v.Float())
		if f != f {
			f = float32(math.NaN())
		}
		return binary.BigEndian.AppendUint32(append(dst, 'f'), math.Float32bits(f))
	case protoreflect.DoubleKind:
		f := v.Float()
		if f != f {
			f = math.NaN()
		}
		return binary.BigEndian.AppendUint64(append(dst, 'd'), math.Float64bits(f))
	case protoreflect.StringKind:
		return appendBytes(append(dst, 's'), []byte(v.String()))
	case protoreflect.BytesKind:
		return appendBytes(append(dst, 'x'), v.Bytes())
	default:
		return c.submessage(dst, v.Message())
	}
}

// submessage appends a message as a value.
func (c canonicalizer) submessage(dst []byte, m protoreflect.Message) []byte {
	if m.Descriptor().FullName() == anyName && c.anyDepth < maxAnyDepth && len(m.GetUnknown()) == 0 {
		// What cannot be expanded is told apart by its bytes.
		if inner, err := expandAny(m, c.types); err == nil && inner != nil {
			url, _, _ := anyParts(m)
			c.anyDepth++ // c is a copy
			return c.submessage(appendBytes(append(dst, 'a'), []byte(url)), inner)
		}
	}
	return c.message(append(dst, 'm'), m)
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}
