package oracle

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// parser is fed one byte at a time and calls emit for each event (HTML standard, "Interpreting an event stream").
type parser struct {
	emit func(id string, hasID bool, event, data string)
	odd  func(format string, a ...any)

	lastEventID string // committed by the last empty line
	retry       time.Duration
	hasRetry    bool

	line    []byte
	wasCR   bool
	begun   bool // the first line is over
	data    strings.Builder
	hasData bool
	event   string
	idSeen  string // the "last event ID buffer"
	hasID   bool
}

func (p *parser) feed(b byte) {
	afterCR := p.wasCR
	p.wasCR = b == '\r'
	switch {
	case b == '\n' && afterCR: // the second half of a CRLF
	case b == '\n' || b == '\r':
		if b == '\r' {
			p.odd("a carriage return")
		}
		line := string(p.line)
		p.line = p.line[:0]
		p.endOfLine(line)
	default:
		p.line = append(p.line, b)
	}
}

func (p *parser) endOfLine(line string) {
	if !p.begun {
		p.begun = true
		if rest, ok := strings.CutPrefix(line, "\uFEFF"); ok {
			p.odd("a byte order mark")
			line = rest
		}
	}
	if !utf8.ValidString(line) {
		p.odd("bytes that are not UTF-8: %q", line)
		line = strings.ToValidUTF8(line, "\uFFFD")
	}
	if line == "" {
		p.dispatch()
		return
	}
	if line[0] == ':' {
		return
	}
	name, value, _ := strings.Cut(line, ":")
	p.field(name, strings.TrimPrefix(value, " "))
}

func (p *parser) field(name, value string) {
	switch name {
	case "event":
		p.event = value
	case "data":
		p.data.WriteString(value)
		p.data.WriteByte('\n')
		p.hasData = true
	case "id":
		if strings.ContainsRune(value, 0) {
			p.odd("an id with a NUL: %q", value)
			return
		}
		p.idSeen, p.hasID = value, true
	case "retry":
		var ms int64
		for _, c := range value {
			if c < '0' || c > '9' || ms > 1e12 {
				p.odd("a retry that is no number of milliseconds: %q", value)
				return
			}
			ms = ms*10 + int64(c-'0')
		}
		if value != "" {
			p.retry, p.hasRetry = time.Duration(ms)*time.Millisecond, true
		}
	default:
		p.odd("an unknown field: %q", name)
	}
}

func (p *parser) dispatch() {
	p.lastEventID = p.idSeen
	event, hasID, data, hasData := p.event, p.hasID, p.data.String(), p.hasData
	p.event, p.hasID, p.hasData = "", false, false
	p.data.Reset()
	if !hasData {
		return
	}
	if event == "" {
		event = "message"
	}
	p.emit(p.idSeen, hasID, event, strings.TrimSuffix(data, "\n"))
}

// oddities collects what a parser finds odd, each thing once.
func oddities(into *[]string) func(string, ...any) {
	seen := map[string]bool{}
	return func(format string, a ...any) {
		text := fmt.Sprintf(format, a...)
		if !seen[text] && len(seen) < 10 {
			seen[text] = true
			*into = append(*into, text)
		}
	}
}
