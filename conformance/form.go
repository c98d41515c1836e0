package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// form is how the frames of a stream are written.
type form int

const (
	typed      form = iota // text/event-stream
	plain                  // text/event-stream without event types
	ndjson                 // {"id","event","data"} a line
	jsonStream             // {"result"} or {"error"} a line
)

// formOf tells the form of a response; ok is false where it is no stream. That frames are plain cannot be told from a
// response, and is said by who asks.
func formOf(answer *http.Response, wantPlain bool) (f form, ok bool) {
	kind := answer.Header.Get("Content-Type")
	switch {
	case answer.StatusCode != http.StatusOK || answer.Request.Method == http.MethodHead:
		return 0, false
	case strings.HasPrefix(kind, "text/event-stream") && wantPlain:
		return plain, true
	case strings.HasPrefix(kind, "text/event-stream"):
		return typed, true
	case kind == "application/x-ndjson":
		return ndjson, true
	default:
		return jsonStream, kind == "application/json" && answer.ContentLength < 0
	}
}

// cut cuts the first block off what was received; ok is false where there is no whole one.
func (f form) cut(received []byte) (block string, rest []byte, ok bool) {
	separator := "\n\n"
	if f.lines() {
		separator = "\n"
	}
	before, after, ok := bytes.Cut(received, []byte(separator))
	if !ok {
		return "", received, false
	}
	return string(before), after, true
}

// lines reports whether each frame is a line.
func (f form) lines() bool { return f == ndjson || f == jsonStream }

func (f form) parse(block string) (Frame, error) {
	switch f {
	case plain:
		return parsePlain(block)
	case ndjson:
		return parseLine(block, ndjsonShape)
	case jsonStream:
		return parseLine(block, jsonShape)
	default:
		return parseFrame(block)
	}
}

var (
	ndjsonShape = regexp.MustCompile(`^\{(?:"id":"([^"]*)",)?"event":"([^"]*)","data":(.*)\}$`)
	jsonShape   = regexp.MustCompile(`^\{()"(result|error)":(.*)\}$`)
)

// parseLine reads a line of JSON: an empty one is a heartbeat.
func parseLine(line string, shape *regexp.Regexp) (Frame, error) {
	f := Frame{Raw: line, Retry: -1, Comment: line == ""}
	if f.Comment {
		return f, nil
	}
	m := shape.FindStringSubmatch(line)
	if m == nil {
		return f, fmt.Errorf("the line %q is not of the form %s", line, shape)
	}
	f.ID, f.Event, f.Data = m[1], m[2], m[3]
	if problem := jsonProblem(f.Data); problem != "" {
		return f, fmt.Errorf("data that %s in the line %q", problem, line)
	}
	return f, nil
}

var (
	plainFirst = regexp.MustCompile(`^:\nretry: ([0-9]{1,9})(?:\nid: ([^\n]+))?$`)
	plainLater = regexp.MustCompile(`^id: ([^\n]+)\ndata: ([^\n]*)$`)
)

// parsePlain reads a block without an event type: the first one holds no data, each later one an id and data.
func parsePlain(raw string) (Frame, error) {
	f := Frame{Raw: raw, Retry: -1}
	if f.IsHeartbeat() {
		f.Comment = true
		return f, nil
	}
	if m := plainFirst.FindStringSubmatch(raw); m != nil {
		ms, err := strconv.ParseUint(m[1], 10, 32)
		f.Comment, f.Retry, f.ID = true, time.Duration(ms)*time.Millisecond, m[2]
		return f, err
	}
	m := plainLater.FindStringSubmatch(raw)
	if m == nil {
		return f, fmt.Errorf("%q is no plain frame", raw)
	}
	f.ID, f.Data = m[1], m[2]
	if problem := jsonProblem(f.Data); problem != "" && !strings.HasSuffix(f.ID, ".end") { // the done text is any text
		return f, fmt.Errorf("data that %s in the frame %q", problem, raw)
	}
	return f, nil
}

// addPlain takes the next plain frame of a response.
func (v *invariants) addPlain(f Frame) error {
	first := v.frames == 0
	v.frames++
	switch {
	case first != f.Comment:
		return fmt.Errorf("a comment and retry stand in the first plain frame, and nowhere else, but where the bridge ends the response: %q", f.Raw)
	case first && f.ID == "":
		v.busy = true
		return nil
	}
	id, err := parseID(f.ID)
	if err != nil {
		return err
	}
	before := v.last
	v.last, v.end = id, id.end
	switch {
	case first:
		return nil
	case id.end && id.position >= before.position: // a hole ends the stream where it is
		return nil
	default:
		return v.follows(before, id, f)
	}
}

// addJSON takes the next line of a JSON stream: nothing follows an error.
func (v *invariants) addJSON(f Frame) error {
	v.end = f.Event == "error"
	return nil
}
