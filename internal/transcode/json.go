package transcode

import (
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const hexDigits = "0123456789abcdef"

// appendCompact appends src, which must be valid JSON, without its white space, and with those characters of its strings
// escaped that mean something to HTML or end a line in JavaScript. It gives what json.Compact and json.HTMLEscape do
// together, in one pass; protojson varies its white space between builds on purpose.
func appendCompact(dst, src []byte) []byte {
	inString := false
	start := 0 // of what has not been appended yet
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '"':
			inString = !inString
		case !inString:
			if c == ' ' || c == '\n' || c == '\t' || c == '\r' {
				dst = append(dst, src[start:i]...)
				start = i + 1
			}
		case c == '\\':
			i++ // what is escaped ends no string, and is none of the characters below
		case c == '<' || c == '>' || c == '&':
			dst = append(dst, src[start:i]...)
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
			start = i + 1
		case c == 0xE2 && i+2 < len(src) && src[i+1] == 0x80 && src[i+2]&^1 == 0xA8: // U+2028, U+2029
			dst = append(dst, src[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[src[i+2]&15])
			i += 2
			start = i + 1
		}
	}
	return append(dst, src[start:]...)
}

// wrap puts a scalar into the wrapper message of its kind.
func wrap(kind protoreflect.Kind, v protoreflect.Value) proto.Message {
	switch kind {
	case protoreflect.BoolKind:
		return wrapperspb.Bool(v.Bool())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return wrapperspb.Int32(int32(v.Int()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return wrapperspb.Int64(v.Int())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return wrapperspb.UInt32(uint32(v.Uint()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return wrapperspb.UInt64(v.Uint())
	case protoreflect.FloatKind:
		return wrapperspb.Float(float32(v.Float()))
	case protoreflect.DoubleKind:
		return wrapperspb.Double(v.Float())
	case protoreflect.BytesKind:
		return wrapperspb.Bytes(v.Bytes())
	default:
		return wrapperspb.String(v.String())
	}
}

// appendEnum appends an enum value: null for NullValue, the name, or the number where it has none.
func appendEnum(dst []byte, ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) []byte {
	if ed.FullName() == "google.protobuf.NullValue" {
		return append(dst, "null"...)
	}
	if v := ed.Values().ByNumber(n); v != nil {
		return appendQuoted(dst, string(v.Name()))
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// appendQuoted appends s, which is a name of the schema or a text of ours, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = utf8.AppendRune(dst, r)
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return append(dst, '"')
}
