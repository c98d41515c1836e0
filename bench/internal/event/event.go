// Package event is what the benchmark sends and receives: JSON of one length with a number and a time.
package event

import (
	"bytes"
	"strconv"
	"time"
)

// Size is the length of an event's JSON in bytes, everywhere.
const Size = 200

// Now is the time as events carry it: nanoseconds since 1970, never going back.
func Now() int64 { return startNanos + int64(time.Since(start)) }

var (
	start      = time.Now()
	startNanos = start.UnixNano()
)

// pad is longer than any padding.
var pad = bytes.Repeat([]byte("x"), Size)

// Payload appends an event's JSON to dst: {"seq":"12","sent":"1795…","pad":"xxx…"}, Size bytes. The numbers are strings,
// as protobuf's mapping writes 64-bit ones, so that all programs deliver the same.
func Payload(dst []byte, seq uint64, sent int64) []byte {
	begin := len(dst)
	dst = append(dst, `{"seq":"`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `","sent":"`...)
	dst = strconv.AppendInt(dst, sent, 10)
	dst = append(dst, `","pad":"`...)
	dst = append(dst, pad[:max(0, Size-len(`"}`)-(len(dst)-begin))]...)
	return append(dst, `"}`...)
}

// Parse reads what Payload wrote. The pad is a part of the payload.
func Parse(payload []byte) (seq uint64, sent int64, pad []byte, ok bool) {
	seq, rest, ok := number(payload, `"seq":`)
	if !ok {
		return 0, 0, nil, false
	}
	at, rest, ok := number(rest, `"sent":`)
	if !ok {
		return 0, 0, nil, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"pad":"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return 0, 0, nil, false
	}
	return seq, int64(at), rest[:end], true
}

// number reads the decimal number behind a key, in quotes or not, with spaces or not.
func number(text []byte, key string) (value uint64, rest []byte, ok bool) {
	i := bytes.Index(text, []byte(key))
	if i < 0 {
		return 0, nil, false
	}
	text = text[i+len(key):]
	for len(text) > 0 && (text[0] == ' ' || text[0] == '"') {
		text = text[1:]
	}
	digits := 0
	for digits < len(text) && text[digits]-'0' <= 9 {
		value = value*10 + uint64(text[digits]-'0')
		digits++
	}
	return value, text[digits:], digits > 0
}
