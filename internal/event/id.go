// Package event says what orders the events of a stream: positions, the marks that name a log's runs and generations,
// and the ids made of both that clients hold as cursors.
//
// An id is at most 128 bytes, all of [A-Za-z0-9._~-]:
//
//	position "." mark [ "~s" position ] [ "~c" check cursor ]      an event, or "you have everything up to here"
//	position "." check ".end"                                      the end of a run
//
// The number before the dot is what a client may read: it only goes up.
package event

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
)

// Limits of ids.
const (
	// MaxLen is the length of the longest id, in bytes.
	MaxLen = 128
	// MaxPosition is the largest position: JavaScript's largest exact integer, 2^53 - 1.
	MaxPosition Position = 1<<53 - 1
)

const endSuffix = ".end"

// Position is an event's place in its stream. Along a stream positions only go up; inside one generation of a log they
// go up by exactly one. The zero Position belongs to no event.
type Position uint64

// ID is an id in its parts. The zero ID is none.
//
//   - An end has Position, Check and End, and nothing else.
//   - Any other has Position and Mark; Snapshot is 0 outside a snapshot; Check and Backend are set where the id carries a
//     cursor of the backend's own.
type ID struct {
	Position Position
	Mark     Mark
	Snapshot Position
	Check    Check
	Backend  []byte
	End      bool
}

// At is the id of the event at p in the generation that m names.
func At(p Position, m Mark) ID { return ID{Position: p, Mark: m} }

// EndAt is the id of the end at p of a run of the stream that c was made for.
func EndAt(p Position, c Check) ID { return ID{Position: p, Check: c, End: true} }

// IsZero reports whether id is none.
func (id ID) IsZero() bool { return id.Position == 0 && id.Mark == (Mark{}) && !id.End }

// Append appends the text form of id to dst. A backend cursor that would make the id longer than MaxLen is left out.
func (id ID) Append(dst []byte) []byte {
	start := len(dst)
	dst = appendPosition(dst, id.Position)
	dst = append(dst, '.')
	if id.End {
		dst = append(dst, id.Check[:]...)
		return append(dst, endSuffix...)
	}
	dst = append(dst, id.Mark[:]...)
	if id.Snapshot != 0 {
		dst = append(dst, "~s"...)
		dst = appendPosition(dst, id.Snapshot)
	}
	const overhead = len("~c") + checkLen
	if id.Backend != nil && len(dst)-start+overhead+base64.RawURLEncoding.EncodedLen(len(id.Backend)) <= MaxLen {
		dst = append(dst, "~c"...)
		dst = append(dst, id.Check[:]...)
		dst = base64.RawURLEncoding.AppendEncode(dst, id.Backend)
	}
	return dst
}

// appendPosition appends a position in decimal. Those that a log begins with have sixteen digits, as all after them.
func appendPosition(dst []byte, p Position) []byte {
	if p < 1e15 || p >= 1e16 {
		return strconv.AppendUint(dst, uint64(p), 10)
	}
	dst = binary.LittleEndian.AppendUint64(dst, eight(uint64(p/1e8)))
	return binary.LittleEndian.AppendUint64(dst, eight(uint64(p%1e8)))
}

// eight has the eight digits of a number below 10⁸, the first in the lowest byte. It divides in two what is in each part
// of a word, until there is one digit in each byte: by 10⁴, and then by 100 and by 10 with products that are exact for
// numbers so small.
func eight(n uint64) uint64 {
	n = n/10_000 | n%10_000<<32
	hundreds := n * 5243 >> 19 & 0x0000007f_0000007f
	n = hundreds | (n-100*hundreds)<<16
	tens := n * 103 >> 10 & 0x000f000f_000f000f
	n = tens | (n-10*tens)<<8
	return n | 0x30303030_30303030
}

// String is the text form of id.
func (id ID) String() string { return string(id.Append(nil)) }

// Parse reads an id. It reports false for anything that Append would not have written, to the byte: clients present
// ids, and what the bridge did not make is unknown to it.
func Parse(s string) (ID, bool) {
	if len(s) > MaxLen {
		return ID{}, false
	}
	head, rest, ok := strings.Cut(s, ".")
	if !ok {
		return ID{}, false
	}
	p, ok := parsePosition(head)
	if !ok {
		return ID{}, false
	}
	if check, ok := strings.CutSuffix(rest, endSuffix); ok {
		c, ok := parseCheck(check)
		return EndAt(p, c), ok
	}
	if len(rest) < markLen || !isToken(rest[:markLen]) {
		return ID{}, false
	}
	id := ID{Position: p, Mark: Mark([]byte(rest[:markLen]))}
	return id, parseSuffixes(&id, rest[markLen:])
}

// parseSuffixes reads what may follow a mark into id.
func parseSuffixes(id *ID, rest string) bool {
	if after, ok := strings.CutPrefix(rest, "~s"); ok {
		digits, tail := after, ""
		if i := strings.IndexByte(after, '~'); i >= 0 {
			digits, tail = after[:i], after[i:]
		}
		if id.Snapshot, ok = parsePosition(digits); !ok || id.Snapshot == 0 {
			return false
		}
		rest = tail
	}
	if after, ok := strings.CutPrefix(rest, "~c"); ok {
		if len(after) < checkLen {
			return false
		}
		if id.Check, ok = parseCheck(after[:checkLen]); !ok {
			return false
		}
		backend, err := base64.RawURLEncoding.Strict().DecodeString(after[checkLen:])
		if err != nil || !isToken(after[checkLen:]) { // the decoder skips line ends
			return false
		}
		id.Backend, rest = backend, ""
	}
	return rest == ""
}

// parsePosition reads a position: decimal, no leading zero (but "0" itself), below 2^53.
func parsePosition(s string) (Position, bool) {
	if s == "" || len(s) > 16 || (s[0] == '0' && s != "0") {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return Position(n), err == nil && Position(n) <= MaxPosition
}
