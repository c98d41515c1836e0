package render

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds on what is read. They keep a hostile message from using up the stack; the other implementations of protobuf
// stop at 100 levels.
const (
	maxDepth = 1000 // messages in each other; an entry of a map is one
	maxAnys  = 16   // Any in Any
)

// Reason says why a message cannot be rendered. The texts name no internals and do not change.
type Reason string

// The reasons, in the order of their texts: of several Any that cannot be rendered, the first reason in this order is
// given.
const (
	NoJSON     Reason = "a value has no JSON form" // a Timestamp out of range, for example
	UTF8       Reason = "invalid UTF-8"            // a string holds other bytes
	Malformed  Reason = "malformed message"        // not the wire format of its type
	TooDeep    Reason = "nested too deeply"        // more than 1,000 messages, or 16 Any, in each other
	UnknownAny Reason = "unknown type in Any"      // an Any of a type that the schema does not have
)

// Error is why a message cannot be rendered.
type Error struct {
	Reason Reason
	// In is the field or message where it was found, and Detail what was found there; both may be empty. They are for
	// logs, not for clients.
	In     protoreflect.FullName
	Detail string
}

func (e *Error) Error() string {
	text := string(e.Reason)
	if e.In != "" {
		text = fmt.Sprintf("%s: %s", e.In, text)
	}
	if e.Detail != "" {
		text = fmt.Sprintf("%s: %s", text, e.Detail)
	}
	return text
}

// Errors that name no place: what was read is read again to find it, see [Message.explain].
var (
	errMalformed = &Error{Reason: Malformed}
	errTooDeep   = &Error{Reason: TooDeep}
	// errGrown is no error: the layout that a message was being read with has got another field.
	errGrown = &Error{Reason: Malformed, Detail: "an extension was found"}
	// errCrooked is none, either: the message must be written anew, with all messages in it read into frames.
	errCrooked = &Error{Reason: Malformed, Detail: "not encoded as encoders do it"}
)

// noJSON is the error of a value that the mapping has no form for.
func noJSON(in protoreflect.FullName, format string, args ...any) *Error {
	return &Error{Reason: NoJSON, In: in, Detail: fmt.Sprintf(format, args...)}
}
