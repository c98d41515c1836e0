// Package cursor follows the cursors that a backend keeps itself: it reads them from messages, puts them into requests
// and ids, and knows what a call that was opened again repeats.
//
//	message ──Rule.Of──▶ Value ──Rule.Encode──▶ id ──Rule.Decode──▶ Value ──Rule.Request──▶ request
//
// A Tracker follows one call; an Index finds the event of a log that has a cursor.
package cursor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// MaxLen is the longest cursor that is put into an id or taken from one, in bytes.
const MaxLen = 64

// Value is a cursor. It is comparable: two cursors are the same exactly if they are equal.
type Value = transcode.Value

// Rule is a method's resume rule. It never changes and is safe for concurrent use.
type Rule struct {
	event, request *transcode.Field
	form           form // of the event's field
	narrow         bool // an integer of 32 bits
	utf8           bool // a string, not bytes
	explicit       bool // zero and empty are cursors
	inclusive      bool
}

// form is how cursors are compared and encoded.
type form int

const (
	text form = iota // strings and bytes
	signed
	unsigned
)

// NewRule makes the Rule of what the schema has checked. It is nil for nil: the backend keeps no cursor.
func NewRule(r *schema.Resume) *Rule {
	if r == nil {
		return nil
	}
	leaf := r.Event.Leaf()
	rule := &Rule{
		event: transcode.NewField(r.Event), request: transcode.NewField(r.Request),
		utf8: leaf.Kind() == protoreflect.StringKind, explicit: leaf.HasPresence(), inclusive: r.Inclusive,
	}
	switch leaf.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		rule.form, rule.narrow = signed, true
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		rule.form = signed
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		rule.form, rule.narrow = unsigned, true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		rule.form = unsigned
	default:
		rule.form = text
	}
	return rule
}

// Of is the cursor of a message. It reports false where the message carries none: zero and empty count only where the
// field has presence.
func (r *Rule) Of(wire []byte) (Value, bool) { return r.event.Find(wire) }

// Request is a copy of an encoded request that begins at v: behind the message that has v, or with it where the rule is
// inclusive.
func (r *Rule) Request(wire []byte, v Value) []byte { return r.request.Append(slices.Clone(wire), v) }

// Ordered says that cursors are integers, which rise from message to message. Others can only be equal or not.
func (r *Rule) Ordered() bool { return r.form != text }

// Compare orders two cursors of an ordered rule as cmp.Compare does.
func (r *Rule) Compare(a, b Value) int {
	if r.form == signed {
		return cmp.Compare(a.Int(), b.Int())
	}
	return cmp.Compare(a.Uint(), b.Uint())
}

// Encode is v as an id carries it: integers as varints (signed ones in zigzag), strings and bytes as they are. It is nil
// for a cursor that is longer than MaxLen, which is left out of ids, and never nil for others.
func (r *Rule) Encode(v Value) []byte {
	switch {
	case r.form == signed:
		return binary.AppendVarint(nil, v.Int())
	case r.form == unsigned:
		return binary.AppendUvarint(nil, v.Uint())
	case len(v.Text()) > MaxLen:
		return nil
	default:
		return append([]byte{}, v.Text()...)
	}
}

// Decode reads what a client presents as a cursor of this rule. It reports false for everything that Encode would not
// have written of a message's field: other encodings of an integer, one out of the field's range, a string that is not
// UTF-8, zero or empty where the field has no presence, and what is longer than MaxLen.
func (r *Rule) Decode(b []byte) (Value, bool) {
	if len(b) > MaxLen {
		return Value{}, false
	}
	v, ok := r.decode(b)
	if !ok || !r.explicit && v.IsZero() || !bytes.Equal(b, r.Encode(v)) {
		return Value{}, false
	}
	return v, true
}

func (r *Rule) decode(b []byte) (Value, bool) {
	switch {
	case r.form == signed:
		i, n := binary.Varint(b)
		return transcode.IntValue(i), n > 0 && (!r.narrow || math.MinInt32 <= i && i <= math.MaxInt32)
	case r.form == unsigned:
		u, n := binary.Uvarint(b)
		return transcode.UintValue(u), n > 0 && (!r.narrow || u <= math.MaxUint32)
	case r.utf8 && !utf8.Valid(b):
		return Value{}, false
	default:
		return transcode.TextValue(string(b)), true
	}
}
