// Package sse writes and reads the bytes of text/event-stream, as the HTML standard defines it
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), and knows nothing else.
//
// The encoders append to a slice, and whatever they are given, what they append is exactly one block: no id, event
// name, data or comment can break out of its field. Only of an id and data that are written in place, between Begin,
// Data and End, the caller must know that each is one line. The Parser reads what any server sends the way a browser does.
package sse

// maxNameBytes is the length of the longest event name.
const maxNameBytes = 128

// EventName is the value of an event field: 1 to 128 characters of [A-Za-z0-9._/-]. It cannot hold a line end, so a
// frame cannot be broken by one. The zero EventName is none: a frame without it has no event field, and browsers call
// such an event "message".
type EventName struct {
	between string // "\nevent: <name>\ndata: ", as it stands between an id and data
}

// ParseEventName makes an EventName of s, and reports false where s is not within the grammar.
func ParseEventName(s string) (EventName, bool) {
	if s == "" || len(s) > maxNameBytes {
		return EventName{}, false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return EventName{}, false
		}
	}
	return EventName{"\n" + eventField + s + "\n" + dataField}, true
}

// MustEventName is ParseEventName for names known at compile time. It panics where s is not within the grammar.
func MustEventName(s string) EventName {
	name, ok := ParseEventName(s)
	if !ok {
		panic("sse: not an event name: " + s)
	}
	return name
}

// String is the name, or "" for the zero EventName.
func (n EventName) String() string {
	if n.IsZero() {
		return ""
	}
	return n.between[len("\n"+eventField) : len(n.between)-len("\n"+dataField)]
}

// line is the event field as a line, or "" for the zero EventName.
func (n EventName) line() string {
	if n.IsZero() {
		return ""
	}
	return n.between[len("\n") : len(n.between)-len(dataField)]
}

// IsZero reports whether n is none.
func (n EventName) IsZero() bool { return n.between == "" }

func isNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return c == '.' || c == '_' || c == '/' || c == '-'
	}
}
