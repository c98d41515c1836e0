package sse

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// lineReader splits a stream into lines.
//
//   - buf[at:] is what has been read and not yet returned.
//   - skipLF is set when the last line ended with a CR: an LF that follows belongs to it. Waiting for that LF instead
//     would hold an event back until the one after it.
//   - first is set until the first line, which may begin with a byte order mark.
type lineReader struct {
	r      io.Reader
	buf    []byte
	at     int
	skipLF bool
	first  bool
}

const readBytes = 16 << 10

// next returns the next line without its end, valid until the call after. A line of more than max bytes is
// ErrTooLarge. What stands after the last line end is never returned.
func (l *lineReader) next(max int) ([]byte, error) {
	scanned := 0 // bytes after at that are known to hold no line end
	for {
		if l.skipLF && l.at < len(l.buf) {
			l.skipLF = false
			if l.buf[l.at] == '\n' {
				l.at++
			}
		}
		if end := lineEnd(l.buf[l.at+scanned:]); end >= 0 {
			return l.cut(scanned+end, max)
		}
		scanned = len(l.buf) - l.at
		if scanned > max+len(byteOrderMark) {
			return nil, ErrTooLarge
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

const byteOrderMark = "\uFEFF"

// cut takes the line of n bytes off the buffer, and its line end.
func (l *lineReader) cut(n, max int) ([]byte, error) {
	line := l.buf[l.at : l.at+n]
	l.skipLF = l.buf[l.at+n] == '\r'
	l.at += n + 1
	if l.first {
		l.first = false
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	}
	if len(line) > max {
		return nil, ErrTooLarge
	}
	return line, nil
}

// fill reads once more. An error that comes with bytes is kept by the reader and comes again.
func (l *lineReader) fill() error {
	if l.at > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.at:])]
		l.at = 0
	}
	if cap(l.buf)-len(l.buf) < readBytes/2 {
		l.buf = append(make([]byte, 0, 2*cap(l.buf)+readBytes), l.buf...)
	}
	for range 100 { // as bufio: a reader that returns nothing, for ever, is broken
		n, err := l.r.Read(l.buf[len(l.buf):cap(l.buf)])
		l.buf = l.buf[:len(l.buf)+n]
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// decode is the Encoding standard's UTF-8 decoder: each maximal part of a broken sequence becomes one U+FFFD, where
// Go's own conversions make one of each byte.
func decode(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			size = brokenLen(b)
		}
		out.WriteRune(r)
		b = b[size:]
	}
	return out.String()
}

// brokenLen is how many bytes at b's begin, which is no good sequence, could have begun one; at least 1.
func brokenLen(b []byte) int {
	n := 1
	for n < len(b) && !utf8.FullRune(b[:n+1]) {
		n++
	}
	return n
}
