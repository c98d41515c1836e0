package transcode

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Value is the value of a Field. Two values of one field are equal (==) exactly if they are the same value, so that it
// can be the key of a map. The zero Value is none.
type Value struct {
	kind valueKind
	bits uint64 // integers (signed ones extended to 64 bits), enums, bools, and the bits of floats
	text string // strings and bytes
}

type valueKind uint8

const (
	noValue       valueKind = iota
	signedValue             // int32, int64, sint32, sint64, sfixed32, sfixed64, enums
	unsignedValue           // uint32, uint64, fixed32, fixed64, bool
	floatValue              // bits of a float
	doubleValue             // bits of a double
	textValue               // string and bytes
)

func valueKindOf(kind protoreflect.Kind) valueKind {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return textValue
	case protoreflect.FloatKind:
		return floatValue
	case protoreflect.DoubleKind:
		return doubleValue
	case protoreflect.BoolKind, protoreflect.Uint32Kind, protoreflect.Uint64Kind,
		protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return unsignedValue
	default:
		return signedValue
	}
}

// IntValue is the value of a signed integer or an enum.
func IntValue(i int64) Value { return Value{kind: signedValue, bits: uint64(i)} }

// UintValue is the value of an unsigned integer; 0 and 1 are a bool's.
func UintValue(u uint64) Value { return Value{kind: unsignedValue, bits: u} }

// TextValue is the value of a string or of bytes.
func TextValue(s string) Value { return Value{kind: textValue, text: s} }

// Int is a signed integer's or an enum's value.
func (v Value) Int() int64 { return int64(v.bits) }

// Uint is an unsigned integer's or a bool's value.
func (v Value) Uint() uint64 { return v.bits }

// Text is a string's or bytes' value; empty for others.
func (v Value) Text() string { return v.text }

// IsZero reports whether v is none, or the default value of its kind.
func (v Value) IsZero() bool { return v.bits == 0 && v.text == "" }

// String is v for logs; text is quoted.
func (v Value) String() string {
	switch v.kind {
	case signedValue:
		return strconv.FormatInt(v.Int(), 10)
	case unsignedValue:
		return strconv.FormatUint(v.bits, 10)
	case floatValue:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(v.bits))), 'g', -1, 32)
	case doubleValue:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case textValue:
		return strconv.Quote(v.text)
	default:
		return "none"
	}
}
