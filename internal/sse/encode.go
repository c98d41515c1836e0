package sse

import (
	"bytes"
	"strconv"
	"time"
)

// AppendFrame appends one frame to dst:
//
//	id: <id>\n          left out where id is empty, or holds a NUL, CR or LF, which no id can carry
//	event: <name>\n     left out where name is zero
//	data: <line>\n      one for each line of data; CR, LF and CRLF end a line
//	\n
//
// There is always at least one data line, since a block without data dispatches nothing. Readers get data back with
// LF for every line end; bytes that are not UTF-8 go out as they are and are read as U+FFFD.
func AppendFrame(dst, id []byte, name EventName, data []byte) []byte {
	dst = appendID(dst, id)
	dst = append(dst, name.line()...)
	dst = appendLines(dst, dataField, data)
	return append(dst, '\n')
}

// Begin appends the beginning of a frame, up to where its id begins, for a frame that is made in place: the caller appends
// an id, calls [Data], appends data, and calls [End]. Neither id nor data may hold a line end, or the id a NUL, which the
// bridge's ids and JSON without white space do not; the frame is then as AppendFrame makes it.
func Begin(dst []byte) []byte { return append(dst, idField...) }

// Data goes on with the frame that [Begin] has begun, behind its id, up to where its data begins.
func Data(dst []byte, name EventName) []byte {
	if name.IsZero() {
		return append(dst, "\n"+dataField...)
	}
	return append(dst, name.between...)
}

// End completes the frame, behind its data.
func End(dst []byte) []byte { return append(dst, "\n\n"...) }

const (
	idField    = "id: "
	eventField = "event: "
	dataField  = "data: "
)

// AppendComment appends a comment, which readers ignore: ":\n\n" for an empty text, else ": <line>\n" for each line of
// text and an empty line. It is what keeps a quiet connection alive.
func AppendComment(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, ":\n\n"...)
	}
	dst = appendLines(dst, ": ", []byte(text))
	return append(dst, '\n')
}

// AppendOpening appends the first frame of a response, an empty comment line, the reconnection delay and a frame in
// one block:
//
//	:\n
//	retry: <milliseconds>\n     left out where retry is negative
//	id: … event: … data: …      as AppendFrame writes them
//
// The comment makes proxies and browsers that wait for a first body byte go on.
func AppendOpening(dst []byte, retry time.Duration, id []byte, name EventName, data []byte) []byte {
	dst = append(dst, ":\n"...)
	dst = appendRetry(dst, retry)
	return AppendFrame(dst, id, name, data)
}

// AppendRetryFrame appends a frame that has no id and sets the reconnection delay, as for an event after which the
// connection ends and the client should come back later. A negative retry is left out.
func AppendRetryFrame(dst []byte, retry time.Duration, name EventName, data []byte) []byte {
	dst = appendRetry(dst, retry)
	return AppendFrame(dst, nil, name, data)
}

// AppendPreamble appends a block that is no event: an empty comment line, the reconnection delay and the id, left out
// where retry is negative and id empty. Browsers do not agree on whether an id without data moves their cursor: Chromium
// says yes, Firefox no.
func AppendPreamble(dst []byte, retry time.Duration, id []byte) []byte {
	dst = append(dst, ":\n"...)
	dst = appendRetry(dst, retry)
	dst = appendID(dst, id)
	return append(dst, '\n')
}

func appendRetry(dst []byte, retry time.Duration) []byte {
	if retry < 0 {
		return dst
	}
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	return append(dst, '\n')
}

func appendID(dst, id []byte) []byte {
	if len(id) == 0 {
		return dst
	}
	for _, c := range id {
		if c <= '\r' && (c == 0 || c == '\n' || c == '\r') { // in this order: it is looked at for every frame
			return dst
		}
	}
	dst = append(dst, idField...)
	dst = append(dst, id...)
	return append(dst, '\n')
}

// appendLines appends prefix and "\n" around every line of text; an empty text is one empty line.
func appendLines(dst []byte, prefix string, text []byte) []byte {
	// JSON has no line end, and two vectorised searches that find nothing are faster than one for both characters.
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		dst = append(dst, prefix...)
		dst = append(dst, text...)
		return append(dst, '\n')
	}
	for {
		dst = append(dst, prefix...)
		end := lineEnd(text)
		if end < 0 {
			dst = append(dst, text...)
			return append(dst, '\n')
		}
		dst = append(dst, text[:end]...)
		dst = append(dst, '\n')
		if text[end] == '\r' && end+1 < len(text) && text[end+1] == '\n' {
			end++
		}
		text = text[end+1:]
	}
}

// lineEnd is the index of the first CR or LF, or -1. It looks at nothing behind that: a search for each of the two
// would make many short lines cost the square of their length.
func lineEnd(text []byte) int { return bytes.IndexAny(text, "\r\n") }
