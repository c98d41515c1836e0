// Package oracle is a client that believes nothing: it reads streams like a browser's EventSource, records all it got,
// and checks the record against what the bridge promises, one validator for each promise.
//
// It has its own parser, written from the HTML standard, and its own reading of ids: a bug that the bridge's packages
// share with a client made of them would go unseen. It must not import them.
package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Record is one event as a browser would dispatch it.
type Record struct {
	// Connection is the number, from 0, of the connection that brought it.
	Connection int
	// ID is the block's own id; "" where it had none.
	ID string
	// Event is the type, "message" where none was given.
	Event string
	// Data is the data lines, joined by LF.
	Data string
}

// Connection is one request and its answer.
type Connection struct {
	// Presented is the Last-Event-ID that the request carried; "" for none.
	Presented string
	// Status is the HTTP status; 0 where no head came.
	Status int
	// Err is what ended the connection; nil for a clean end.
	Err error
	// Oddities are things that the parser copes with and the bridge never sends: carriage returns, a byte order mark,
	// bytes that are not UTF-8, unknown fields, ids with a NUL.
	Oddities []string
}

// Transcript is all that one client saw of one stream.
type Transcript struct {
	Records     []Record
	Connections []Connection
}

// Link is one event of a hash chain: Hash is SHA-256 over Prev, Stream, N and Payload with a line feed after each of
// the first three, and Prev is the hash of link N-1, as 64 hexadecimal digits.
type Link struct {
	Stream, Prev, Hash, Payload string
	N                           uint64
}

// DecodeLink reads a link from an event's data, which is demo.script.v1.ChainResponse as protobuf JSON: 64-bit numbers
// are strings and empty fields are left out.
func DecodeLink(data string) (Link, error) {
	var m struct {
		Stream, Prev, Hash, Payload string
		N                           string
	}
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return Link{}, fmt.Errorf("no link: %w", err)
	}
	n, err := strconv.ParseUint(m.N, 10, 64)
	if err != nil {
		return Link{}, fmt.Errorf("no link: n is %q", m.N)
	}
	return Link{Stream: m.Stream, Prev: m.Prev, Hash: m.Hash, Payload: m.Payload, N: n}, nil
}

// Sum is the hash that l should have.
func (l Link) Sum() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%s", l.Prev, l.Stream, l.N, l.Payload))
	return hex.EncodeToString(sum[:])
}

// genesis is the hash of link 0.
func genesis(stream string) string { return Link{Stream: stream}.Sum() }

// place is an id taken apart: position "." mark, or position "." check ".end".
type place struct {
	position uint64
	mark     string // run and generation; "" in an end
	end      bool
}

func placeOf(id string) (place, error) {
	digits, rest, ok := strings.Cut(id, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || n >= 1<<53 || strconv.FormatUint(n, 10) != digits || len(id) > 128 {
		return place{}, fmt.Errorf("id %q does not begin with a position and a dot, or is too long", id)
	}
	if check, ok := strings.CutSuffix(rest, ".end"); ok {
		if len(check) != 5 {
			return place{}, fmt.Errorf("id %q of an end has no check of 5 characters", id)
		}
		return place{position: n, end: true}, nil
	}
	if mark, _, _ := strings.Cut(rest, "~"); len(mark) != 16 {
		return place{}, fmt.Errorf("id %q has no mark of 16 characters", id)
	}
	return place{position: n, mark: rest[:16]}, nil
}

// Kinds of records, as the contract divides them.
const (
	typeOpen        = "stream.open"
	typeReset       = "stream.reset"
	typeBusy        = "stream.busy"
	typeUndecodable = "stream.undecodable"
	typeEnd         = "stream.end"
)

// isApplication reports whether r is an event of the backend's.
func (r Record) isApplication() bool { return !strings.HasPrefix(r.Event, "stream.") }

// isLogged reports whether r has a position of its own. A reset has one only where the upstream was restarted; the
// other kind belongs to one reader and holds a cursor.
func (r Record) isLogged() bool {
	switch r.Event {
	case typeUndecodable, typeEnd:
		return true
	case typeReset:
		return r.reason() == "upstream_restarted"
	default:
		return r.isApplication()
	}
}

func (r Record) reason() string {
	var data struct{ Reason string }
	if json.Unmarshal([]byte(r.Data), &data) != nil {
		return ""
	}
	return data.Reason
}

func (r Record) missed() uint64 {
	var data struct{ Missed uint64 }
	if json.Unmarshal([]byte(r.Data), &data) != nil {
		return 0
	}
	return data.Missed
}

func (r Record) resumed() bool {
	var data struct{ Resumed bool }
	return json.Unmarshal([]byte(r.Data), &data) == nil && data.Resumed
}
