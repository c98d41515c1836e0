package sse

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Frame is one block of a stream in its parts, as slices of the stream's bytes.
type Frame struct {
	// ID is the id field's value; nil where there is none.
	ID []byte
	// Event is the event field's value; nil where there is none.
	Event []byte
	// Retry is the reconnection delay, or NoRetry.
	Retry time.Duration
	// Comment is the text of the last comment line; nil where there is none, empty for an empty one.
	Comment []byte
	// Raw is the whole block, with the empty line that ends it.
	Raw []byte

	lines []byte // the data lines as they stand: "data: …\n" back to back
}

// HasData reports whether the block has data: whether readers get an event of it.
func (f *Frame) HasData() bool { return len(f.lines) != 0 }

const dataPrefix = "data: "

// Data is the data lines joined by LF, nil where there are none. Only where there are several is it a copy.
func (f *Frame) Data() []byte {
	if len(f.lines) == 0 {
		return nil
	}
	first := bytes.IndexByte(f.lines, '\n')
	if first == len(f.lines)-1 {
		return f.lines[len(dataPrefix):first]
	}
	joined := make([]byte, 0, len(f.lines))
	for line := range bytes.Lines(f.lines) {
		joined = append(joined, line[len(dataPrefix):]...)
	}
	return joined[:len(joined)-1]
}

// CutFrame splits the first block off b, which must have been made by this package's Append functions; rest is what
// follows it. It copies nothing. It reports false where b does not begin with a finished block: b is empty, cut short,
// or was made by somebody else.
func CutFrame(b []byte) (f Frame, rest []byte, ok bool) {
	f.Retry = NoRetry
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return Frame{}, b, false
		}
		if n == 0 {
			if at == 0 {
				return Frame{}, b, false
			}
			f.Raw = b[:at+1]
			return f, b[at+1:], true
		}
		if !f.take(b[at : at+n+1]) {
			return Frame{}, b, false
		}
		at += n + 1
	}
}

// take adds one line, with its line end, to the frame. It reports false for a line that the Append functions do not
// write, or not there.
func (f *Frame) take(line []byte) bool {
	text := line[:len(line)-1]
	switch {
	case bytes.HasPrefix(text, []byte(dataPrefix)):
		// Data lines follow each other, so that together they are one slice.
		if len(f.lines) == 0 {
			f.lines = line
		} else {
			f.lines = f.lines[:len(f.lines)+len(line)]
		}
		return true
	case len(f.lines) != 0:
		return false
	case bytes.HasPrefix(text, []byte("id: ")):
		f.ID = text[len("id: "):]
		return true
	case bytes.HasPrefix(text, []byte("event: ")):
		f.Event = text[len("event: "):]
		return true
	case text[0] == ':':
		f.Comment = bytes.TrimPrefix(text[1:], []byte(" "))
		return true
	case bytes.HasPrefix(text, []byte("retry: ")):
		ms, err := strconv.ParseInt(string(text[len("retry: "):]), 10, 64)
		f.Retry = time.Duration(ms) * time.Millisecond
		return err == nil && ms >= 0 && ms <= int64(math.MaxInt64/time.Millisecond)
	default:
		return false
	}
}
