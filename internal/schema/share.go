package schema

import "google.golang.org/protobuf/reflect/protoreflect"

// Share says which readers share one call.
type Share int

const (
	// ShareNone gives every new request a call of its own.
	ShareNone Share = iota
	// SharePrincipal shares a call between equal requests of one principal.
	SharePrincipal
	// SharePublic shares a call between equal requests of everybody.
	SharePublic
)

// String is the value's name in the option.
func (s Share) String() string {
	switch s {
	case SharePrincipal:
		return "PRINCIPAL"
	case SharePublic:
		return "PUBLIC"
	default:
		return "NONE"
	}
}

// Start is where a reader of a shared call begins that has no good cursor.
type Start int

const (
	// StartLive begins with the next event.
	StartLive Start = iota
	// StartEarliest begins with the oldest event that is kept. It also says where readers of calls of their own begin.
	StartEarliest
	// StartLatestPerKey begins with the newest event of every key.
	StartLatestPerKey
)

// String is the value's name in the option.
func (s Start) String() string {
	switch s {
	case StartEarliest:
		return "EARLIEST"
	case StartLatestPerKey:
		return "LATEST_PER_KEY"
	default:
		return "LIVE"
	}
}

// FieldPath leads from a message to one of its fields: all but the last are singular messages. Nil is no field.
type FieldPath []protoreflect.FieldDescriptor

// Leaf is the field that the path leads to.
func (p FieldPath) Leaf() protoreflect.FieldDescriptor { return p[len(p)-1] }

// Resume is how the backend's own cursor is read from responses and put into requests. Event's leaf and Request's leaf
// are of the same kind: signed integers, unsigned integers, strings or bytes.
type Resume struct {
	Event, Request FieldPath
	// Inclusive says that the backend begins at the cursor, not behind it.
	Inclusive bool
}
