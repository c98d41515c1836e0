// Package oracle is a client that believes nothing: it reads streams like a browser's EventSource, records all it got,
// and checks the record against what the bridge promises, one validator for each promise.
//
// It has its own parser, written from the HTML standard, and its own reading of ids: a bug that the bridge's packages
// share with a client made of them would go unseen. It must not import them.
package oracle

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
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
	// Key is what the event is about, and Deleted says that this is gone. Both are for streams that begin with the newest
	// event of each key, and no part of the hash.
	Key     string
	Deleted bool
}

// DecodeLink reads a link from an event's data, which is demo.script.v1.ChainResponse or BroadcastEvent as protobuf
// JSON: 64-bit numbers are strings and empty fields are left out.
func DecodeLink(data string) (Link, error) {
	if l, ok := decoded.Load(data); ok {
		return l.(Link), nil
	}
	l, err := decodeLink(data)
	if err == nil {
		decoded.Store(data, l)
	}
	return l, err
}

// decoded are the links read so far, by their data. Each validator reads each link of each reader, and many readers have
// the same: for a large run that is most of the time it takes.
var decoded sync.Map

func decodeLink(data string) (Link, error) {
	var m struct {
		Stream, Prev, Hash, Payload, Key string
		N                                string
		Deleted                          bool
	}
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return Link{}, fmt.Errorf("no link: %w", err)
	}
	n, err := strconv.ParseUint(m.N, 10, 64)
	if err != nil {
		return Link{}, fmt.Errorf("no link: n is %q", m.N)
	}
	return Link{Stream: m.Stream, Prev: m.Prev, Hash: m.Hash, Payload: m.Payload, N: n, Key: m.Key, Deleted: m.Deleted}, nil
}

// Sum is the hash that l should have.
func (l Link) Sum() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%s", l.Prev, l.Stream, l.N, l.Payload))
	return hex.EncodeToString(sum[:])
}

// genesis is the hash of link 0.
func genesis(stream string) string { return Link{Stream: stream}.Sum() }

// place is an id taken apart: position "." mark ["~s" position] ["~c" cursor], or position "." check ".end".
type place struct {
	position uint64
	mark     string // run and generation; "" in an end
	end      bool
	// snapshot says that the id is of a snapshot, which shows each key's newest event at or before the position until.
	snapshot bool
	until    uint64
}

// record is the place of the record itself, whatever else its id says.
func (p place) record() place { return place{position: p.position, mark: p.mark, end: p.end} }

// sameSnapshot reports whether p and other are of one snapshot.
func (p place) sameSnapshot(other place) bool {
	return p.snapshot && other.snapshot && p.mark == other.mark && p.until == other.until
}

func positionOf(digits string) (uint64, bool) {
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n < 1<<53 && strconv.FormatUint(n, 10) == digits
}

func placeOf(id string) (place, error) {
	digits, rest, dot := strings.Cut(id, ".")
	n, ok := positionOf(digits)
	if !ok || !dot || len(id) > 128 {
		return place{}, fmt.Errorf("id %q does not begin with a position and a dot, or is too long", id)
	}
	if check, ok := strings.CutSuffix(rest, ".end"); ok {
		if len(check) != 5 {
			return place{}, fmt.Errorf("id %q of an end has no check of 5 characters", id)
		}
		return place{position: n, end: true}, nil
	}
	parts := strings.Split(rest, "~")
	p := place{position: n, mark: parts[0]}
	if len(p.mark) != 16 {
		return place{}, fmt.Errorf("id %q has no mark of 16 characters", id)
	}
	parts = parts[1:]
	if len(parts) > 0 && strings.HasPrefix(parts[0], "s") {
		if p.until, p.snapshot = positionOf(parts[0][1:]); !p.snapshot || p.until < p.position {
			return place{}, fmt.Errorf("id %q has a bad snapshot: a position not before its own belongs behind ~s", id)
		}
		parts = parts[1:]
	}
	if len(parts) > 0 && strings.HasPrefix(parts[0], "c") {
		// A check of 5 characters, and the cursor in base64url, which must decode.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[0][min(6, len(parts[0])):]); err != nil || len(parts[0]) < 6 {
			return place{}, fmt.Errorf("id %q has a bad backend cursor behind ~c", id)
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		return place{}, fmt.Errorf("id %q has something behind its mark that is neither ~s nor ~c", id)
	}
	return p, nil
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
