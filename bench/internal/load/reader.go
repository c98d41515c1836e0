package load

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

// reader is one subscriber's place in its response. Nothing is allocated for an event, unless the response is cut inside
// of one.
type reader struct {
	n     int // which one, for people
	state state
	crlf  uint8  // how many bytes of line ends are to be skipped
	next  uint64 // the number that must come next
	left  uint64 // how much of the chunk is still to come; while its size is read, the size so far
	carry []byte // the part of a head or line that has arrived
	// Where the next event is if it looks like the one before: its number, counted from the end of a line, and the end of
	// its line, counted from its number.
	skip, length int
}

type state uint8

const (
	inHead  state = iota
	inSize        // of a chunk
	inChunk       // a chunk's data
	inBody        // of a response that has no chunks
	ended
)

var (
	errEnd    = errors.New("the response ended")
	errNoHead = errors.New("the response's head does not end")
)

const mostHead = 16 << 10

// feed takes what has arrived, p, at a time.
func (r *reader) feed(t *tally, p []byte, now int64) {
	for len(p) > 0 {
		switch r.state {
		case inHead:
			p = r.head(t, p)
		case inSize:
			p = r.size(p)
		case inChunk:
			n := min(uint64(len(p)), r.left)
			r.body(t, p[:n], now)
			p = p[n:]
			if r.left -= n; r.left == 0 {
				r.state, r.crlf = inSize, 2
			}
		case inBody:
			r.body(t, p, now)
			p = nil
		case ended:
			t.fail(r.n, errEnd)
			return
		}
	}
	if r.state == ended {
		t.fail(r.n, errEnd)
	}
}

// head reads the response's head, and returns what is behind it.
func (r *reader) head(t *tally, p []byte) []byte {
	before, text := len(r.carry), p
	if before > 0 {
		r.carry = append(r.carry, p...)
		text = r.carry
	}
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		r.carry = append(r.carry[:before], p...)
		if len(r.carry) > mostHead {
			t.fail(r.n, errNoHead)
		}
		return nil
	}
	head := text[:end]
	if line, _, _ := bytes.Cut(head, []byte("\r\n")); !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		t.fail(r.n, fmt.Errorf("the response is %q", line))
	}
	r.state = inBody
	if bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding: chunked")) {
		r.state = inSize
	}
	r.carry = nil
	t.head()
	return p[end+4-before:]
}

// size reads a chunk's size, and returns what is behind it.
func (r *reader) size(p []byte) []byte {
	for i, c := range p {
		switch {
		case r.crlf > 0:
			r.crlf--
		case c-'0' <= 9:
			r.left = r.left<<4 | uint64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r.left = r.left<<4 | uint64(c|0x20-'a'+10)
		case c == '\n':
			r.state = inChunk
			if r.left == 0 {
				r.state = ended
			}
			return p[i+1:]
		}
	}
	return nil
}

// body reads lines.
func (r *reader) body(t *tally, p []byte, now int64) {
	if len(r.carry) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			r.carry = append(r.carry, p...)
			return
		}
		line := append(r.carry, p[:end]...)
		p = p[end:]
		r.carry = line[:0]
		r.lines(t, line, now)
	}
	if rest := r.lines(t, p, now); len(rest) > 0 {
		r.carry = append(r.carry, rest...)
	}
}

// key stands before an event's number.
const key = `"seq":`

// lines reads the events of all whole lines, and returns the beginning of a last one.
func (r *reader) lines(t *tally, p []byte, now int64) []byte {
	for {
		if n := r.likeBefore(t, p, now); n > 0 {
			p = p[n:]
			continue
		}
		at := bytes.Index(p, []byte(key))
		if at < 0 {
			return p[bytes.LastIndexByte(p, '\n')+1:]
		}
		length := bytes.IndexByte(p[at:], '\n')
		if length < 0 {
			return p[bytes.LastIndexByte(p[:at], '\n')+1:]
		}
		line := p[at+len(key) : at+length]
		r.event(t, line, now)
		r.skip, r.length = at, length
		p = p[at+length+1:]
	}
}

// likeBefore reads an event that stands where the one before lets expect it, and returns the length of what it read.
func (r *reader) likeBefore(t *tally, p []byte, now int64) int {
	at, end := r.skip, r.skip+r.length
	if end >= len(p) || r.length == 0 || p[end] != '\n' || string(p[at:at+len(key)]) != key {
		return 0
	}
	line := p[at+len(key) : end]
	if seq, _ := event.Number(line); seq != r.next {
		return 0
	}
	t.event(r.next, now, line)
	r.next++
	return end + 1
}

// event counts an event. Number 0 is no event but a greeting.
func (r *reader) event(t *tally, line []byte, now int64) {
	seq, ok := event.Number(line)
	switch {
	case !ok:
		t.fail(r.n, fmt.Errorf("an event without a number: %.80q", line))
	case seq == 0:
	case seq == r.next:
		t.event(seq, now, line)
		r.next++
	default:
		t.fail(r.n, fmt.Errorf("event %d came where %d was due", seq, r.next))
		r.next = seq + 1
	}
}
