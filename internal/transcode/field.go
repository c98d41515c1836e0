package transcode

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// Field is one singular field of a message, read from and written to the wire form without decoding the rest. It never
// changes and is safe for concurrent use.
//
// What it finds is what a decoder would: of several occurrences the last one counts, the parts of a split submessage
// are merged, a later case of a oneof clears an earlier one, and an occurrence of another wire type is an unknown field.
type Field struct {
	steps []step
	// explicit says that the field has presence: then its default value counts as set.
	explicit bool
}

// step is one field of the path.
type step struct {
	number protowire.Number
	wire   protowire.Type
	kind   protoreflect.Kind
	rivals []rival // the cases of its oneof; it itself is never looked for here
}

type rival struct {
	number protowire.Number
	wire   protowire.Type
}

// NewField makes the Field that a path leads to. The path is not empty; its fields are singular, and all but the last
// are messages. Find and Append are for scalars and enums; IsSet is for messages, too.
func NewField(path schema.FieldPath) *Field {
	f := &Field{explicit: path.Leaf().HasPresence()}
	for _, fd := range path {
		s := step{number: fd.Number(), wire: wireType(fd.Kind()), kind: fd.Kind()}
		if oneof := fd.ContainingOneof(); oneof != nil {
			for i := range oneof.Fields().Len() {
				other := oneof.Fields().Get(i)
				s.rivals = append(s.rivals, rival{other.Number(), wireType(other.Kind())})
			}
		}
		f.steps = append(f.steps, s)
	}
	return f
}

// wireType is how a singular field of a kind is written.
func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

// Find returns the field's value. It reports false where the field is not set (it is absent, or has its default value
// and no presence), and where wire is malformed as far as it has to be read, a string that is not UTF-8 included. The
// value does not point into wire.
func (f *Field) Find(wire []byte) (Value, bool) {
	found, ok := f.find(wire)
	leaf := f.steps[len(f.steps)-1]
	if !ok || leaf.wire == protowire.StartGroupType || leaf.kind == protoreflect.MessageKind {
		return Value{}, false
	}
	return found.value(leaf.kind), true
}

// IsSet reports whether the field says yes: a bool is true; any other field is set, as Find has it, and a message is
// there at all.
func (f *Field) IsSet(wire []byte) bool {
	found, ok := f.find(wire)
	return ok && (f.steps[len(f.steps)-1].kind != protoreflect.BoolKind || found.bits != 0)
}

// occurrence is what has been seen of the field so far.
type occurrence struct {
	set  bool
	bits uint64 // as Value has them
	text []byte // points into the message
}

func (o occurrence) value(kind protoreflect.Kind) Value {
	return Value{kind: valueKindOf(kind), bits: o.bits, text: string(o.text)}
}

func (f *Field) find(wire []byte) (occurrence, bool) {
	var o occurrence
	if !f.scan(wire, 0, &o) || !o.set {
		return o, false
	}
	leaf := f.steps[len(f.steps)-1].kind
	if leaf == protoreflect.StringKind && !utf8.Valid(o.text) {
		return o, false
	}
	return o, f.explicit || o.bits != 0 || len(o.text) != 0
}

// scan reads the message that holds the path's field number depth. It reports false where that is malformed.
func (f *Field) scan(wire []byte, depth int, o *occurrence) bool {
	s := &f.steps[depth]
	for len(wire) > 0 {
		number, typ, n := protowire.ConsumeTag(wire)
		if n < 0 || number > protowire.MaxValidNumber {
			return false
		}
		wire = wire[n:]
		if n = protowire.ConsumeFieldValue(number, typ, wire); n < 0 {
			return false
		}
		value := wire[:n]
		wire = wire[n:]
		switch {
		case number != s.number:
			if s.cleared(number, typ) {
				*o = occurrence{}
			}
		case typ != s.wire: // an unknown field
		case depth < len(f.steps)-1:
			if !f.scan(s.content(value), depth+1, o) {
				return false
			}
		default:
			*o = s.read(value)
		}
	}
	return true
}

// cleared reports whether a field is another case of the step's oneof.
func (s *step) cleared(number protowire.Number, typ protowire.Type) bool {
	for _, r := range s.rivals {
		if r.number == number && r.wire == typ {
			return true
		}
	}
	return false
}

// content is the message inside a field's value, which is well formed.
func (s *step) content(value []byte) []byte {
	if s.wire == protowire.StartGroupType {
		value, _ = protowire.ConsumeGroup(s.number, value)
		return value
	}
	value, _ = protowire.ConsumeBytes(value)
	return value
}

// read reads a field's value, which is well formed.
func (s *step) read(value []byte) occurrence {
	o := occurrence{set: true}
	switch s.wire {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		o.bits = varintBits(s.kind, v)
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		o.bits = uint64(v)
		if s.kind == protoreflect.Sfixed32Kind {
			o.bits = uint64(int32(v))
		}
	case protowire.Fixed64Type:
		o.bits, _ = protowire.ConsumeFixed64(value)
	case protowire.BytesType:
		if s.kind != protoreflect.MessageKind {
			o.text, _ = protowire.ConsumeBytes(value)
		}
	default: // a group, which has no value
	}
	return o
}

func varintBits(kind protoreflect.Kind, v uint64) uint64 {
	switch kind {
	case protoreflect.BoolKind:
		return protowire.EncodeBool(protowire.DecodeBool(v))
	case protoreflect.Int32Kind, protoreflect.EnumKind:
		return uint64(int32(v))
	case protoreflect.Uint32Kind:
		return uint64(uint32(v))
	case protoreflect.Sint32Kind:
		return uint64(int32(protowire.DecodeZigZag(uint64(uint32(v)))))
	case protoreflect.Sint64Kind:
		return uint64(protowire.DecodeZigZag(v))
	default:
		return v
	}
}

// Append returns dst, an encoded message, with the field set to v. It only appends: to a decoder later fields win, and
// parts of a message are merged. v is a value of the field's own kind and within its range.
func (f *Field) Append(dst []byte, v Value) []byte { return f.append(dst, v, 0) }

func (f *Field) append(dst []byte, v Value, depth int) []byte {
	s := &f.steps[depth]
	dst = protowire.AppendTag(dst, s.number, s.wire)
	switch {
	case depth == len(f.steps)-1:
		return s.appendValue(dst, v)
	case s.wire == protowire.StartGroupType:
		return protowire.AppendTag(f.append(dst, v, depth+1), s.number, protowire.EndGroupType)
	default:
		return protowire.AppendBytes(dst, f.append(nil, v, depth+1))
	}
}

func (s *step) appendValue(dst []byte, v Value) []byte {
	switch s.wire {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, uint32(v.bits))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, v.bits)
	case protowire.BytesType:
		return protowire.AppendString(dst, v.text)
	default:
		if s.kind == protoreflect.Sint32Kind || s.kind == protoreflect.Sint64Kind {
			return protowire.AppendVarint(dst, protowire.EncodeZigZag(int64(v.bits)))
		}
		return protowire.AppendVarint(dst, v.bits)
	}
}
