package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Frame is one block of a stream. It is read by the contract, which is stricter than what browsers put up with: whatever
// the contract does not allow is an error.
type Frame struct {
	// Raw is the block without the empty line at its end.
	Raw string
	// Comment says that it begins with a comment line; a heartbeat is nothing else.
	Comment bool
	// Retry is the reconnection delay; -1 for none.
	Retry time.Duration
	// ID, Event and Data are the fields; empty where there is none.
	ID, Event, Data string
}

// IsHeartbeat reports whether the frame is a comment, or an empty line of a stream of lines, and nothing else.
func (f Frame) IsHeartbeat() bool { return f.Raw == ":" || f.Raw == "" }

// isLogged reports whether the frame has a position of its own. A stream.reset may be one: its place says so.
func (f Frame) isLogged() bool {
	switch f.Event {
	case "stream.open", "stream.reset", "stream.bookmark", "stream.waiting", "stream.busy":
		return false
	default:
		return true
	}
}

var eventName = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,128}$`)

// parseFrame reads a block, given without its empty line.
func parseFrame(raw string) (Frame, error) {
	f := Frame{Raw: raw, Retry: -1}
	if f.IsHeartbeat() {
		f.Comment = true
		return f, nil
	}
	bad := func(format string, a ...any) (Frame, error) {
		return f, fmt.Errorf("%s in the frame %q", fmt.Sprintf(format, a...), raw)
	}
	if !utf8.ValidString(raw) || strings.ContainsAny(raw, "\r\uFEFF\x00") {
		return bad("a carriage return, byte order mark, NUL or invalid UTF-8")
	}
	order := []string{":", "retry", "id", "event", "data"}
	at := 0
	for line := range strings.SplitSeq(raw, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		for at < len(order) && order[at] != name {
			at++
		}
		if at == len(order) {
			return bad("the line %q, unknown, twice or out of order (comment, retry, id, event, data)", line)
		}
		at++
		switch name {
		case ":":
			f.Comment = true
		case "retry":
			ms, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return bad("retry %q", value)
			}
			f.Retry = time.Duration(ms) * time.Millisecond
		case "id":
			f.ID = value
		case "event":
			f.Event = value
		case "data":
			f.Data = value
		}
	}
	switch {
	case f.Data == "":
		return bad("no data")
	case !eventName.MatchString(f.Event):
		return bad("the event type %q", f.Event)
	}
	if problem := jsonProblem(f.Data); problem != "" {
		return bad("data that %s", problem)
	}
	return f, nil
}

// jsonProblem says what is wrong with data; "" for nothing.
func jsonProblem(data string) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(data)); err != nil {
		return "is no JSON: " + err.Error()
	}
	if compact.String() != data {
		return "has white space between its values"
	}
	if strings.ContainsAny(data, "<>&\u2028\u2029") {
		return "holds <, >, &, U+2028 or U+2029 as they are"
	}
	return ""
}

// maxID is how long an id may be.
const maxID = 128

// ident is an id taken apart.
type ident struct {
	position uint64
	mark     string // of a run; the check of an end
	snapshot uint64 // where the snapshot ends that the frame is of; 0: of none
	check    string // of the stream, where the id carries a cursor of the backend's; else empty
	cursor   string // the backend's, as the id has it
	end      bool
}

var (
	idShape  = regexp.MustCompile(`^(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{16})(?:~s([1-9][0-9]{0,15}))?(?:~c([A-Za-z0-9_-]{5})([A-Za-z0-9_-]*))?$`)
	endShape = regexp.MustCompile(`^(0|[1-9][0-9]{0,15})\.([A-Za-z0-9_-]{5})\.end$`)
)

func parseID(text string) (ident, error) {
	m := idShape.FindStringSubmatch(text)
	end := m == nil
	if end {
		m = endShape.FindStringSubmatch(text)
	}
	if m == nil || len(text) > maxID {
		return ident{}, fmt.Errorf("%q is no id: POSITION.MARK[~sPOSITION][~cCHECKCURSOR] or POSITION.CHECK.end", text)
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil || n >= 1<<53 {
		return ident{}, fmt.Errorf("the position of the id %q is not below 2^53", text)
	}
	id := ident{position: n, mark: m[2], end: end}
	if !end {
		id.check, id.cursor = m[4], m[5]
		if m[3] != "" {
			id.snapshot, err = strconv.ParseUint(m[3], 10, 64)
		}
	}
	return id, err
}
