package sse

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// DefaultMaxEventBytes is what NewParser's maxEventBytes means when it is 0: 16 MiB.
const DefaultMaxEventBytes = 16 << 20

// NoRetry is the Retry of an Event or Parser that was told no reconnection delay.
const NoRetry time.Duration = -1

// ErrTooLarge is what Next returns for an event (or a single line) larger than the parser's limit. The parser cannot
// go on after it.
var ErrTooLarge = errors.New("sse: event is larger than the limit")

// Event is one dispatched event.
type Event struct {
	// ID is the last event ID after this event's block: this block's, or else an earlier one's.
	ID string
	// HasID says whether this block carried an id itself.
	HasID bool
	// Type is the event field's value, "message" where there is none.
	Type string
	// Data is the data lines joined by LF.
	Data string
	// Retry is the reconnection delay given since the event before, or NoRetry.
	Retry time.Duration
}

// Parser reads an event stream exactly as the HTML standard tells browsers to: one byte order mark is skipped, lines
// end by CR, LF or CRLF, ids with a NUL and delays that are not all digits are ignored, and a block that the stream's
// end cuts off is discarded. It never reads past what it needs: an event is returned as soon as the line end that
// completes it has arrived. A Parser is for one goroutine.
type Parser struct {
	// OnComment, if set, is called by Next with each comment: what follows the colon, less one leading space.
	OnComment func(text string)

	lines lineReader
	max   int

	lastID string // committed: what a reconnect presents
	retry  time.Duration

	// The block under way.
	data       []byte
	eventType  string
	idBuffer   string // the standard's "last event ID buffer": not cleared by a dispatch
	hasID      bool
	sinceRetry time.Duration
}

// NewParser returns a Parser that reads r. An event whose lines hold more than maxEventBytes bytes is an error; 0
// means DefaultMaxEventBytes.
func NewParser(r io.Reader, maxEventBytes int) *Parser {
	if maxEventBytes <= 0 {
		maxEventBytes = DefaultMaxEventBytes
	}
	return &Parser{
		lines: lineReader{r: r, first: true}, max: maxEventBytes, retry: NoRetry, sinceRetry: NoRetry,
	}
}

// Resume tells the parser the id that the request for this stream presented. Until the stream sends an id of its own,
// it is the last event ID, as in the browsers, which carry it over a reconnect. Call it before the first Next.
func (p *Parser) Resume(id string) { p.lastID, p.idBuffer = id, id }

// LastEventID is the id that a reconnect should present, or "" for none. Blocks without data move it too.
func (p *Parser) LastEventID() string { return p.lastID }

// Retry is the reconnection delay that the stream gave last, or NoRetry.
func (p *Parser) Retry() time.Duration { return p.retry }

// Next returns the next event. Blocks without data are no events, but move LastEventID and Retry. The error is io.EOF
// at the stream's end, ErrTooLarge, or the reader's own.
func (p *Parser) Next() (Event, error) {
	for {
		line, err := p.lines.next(p.max - len(p.data))
		if err != nil {
			return Event{}, err
		}
		if len(line) != 0 {
			p.field(line)
			continue
		}
		if e, ok := p.dispatch(); ok {
			return e, nil
		}
	}
}

// dispatch ends a block; it reports false when the block is no event.
func (p *Parser) dispatch() (Event, bool) {
	p.lastID = p.idBuffer
	e := Event{ID: p.lastID, HasID: p.hasID, Type: p.eventType, Retry: p.sinceRetry}
	ok := len(p.data) != 0
	p.eventType, p.hasID = "", false
	if !ok {
		return Event{}, false
	}
	e.Data = string(p.data[:len(p.data)-1]) // each data line was followed by an LF; the last one's goes
	p.data, p.sinceRetry = p.data[:0], NoRetry
	if e.Type == "" {
		e.Type = "message"
	}
	return e, true
}

// field takes in one line that is not empty.
func (p *Parser) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "": // the line begins with a colon
		if p.OnComment != nil {
			p.OnComment(decode(value))
		}
	case "event":
		p.eventType = decode(value)
	case "data":
		p.data = append(append(p.data, decode(value)...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.idBuffer, p.hasID = decode(value), true
		}
	case "retry":
		if delay, ok := parseRetry(string(value)); ok {
			p.retry, p.sinceRetry = delay, delay
		}
	}
}

// parseRetry reads a number of milliseconds, digits only. What a Duration cannot hold is the longest that it can.
func parseRetry(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms > most {
		ms = most
	}
	return time.Duration(ms) * time.Millisecond, true
}
