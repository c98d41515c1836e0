// Package event is what the benchmark sends and receives: JSON of one length with a number and a time.
package event

import (
	"bytes"
	"math/rand/v2"
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

// words fill events: text that compresses as prose does, and is no repetition of an earlier event's. Always the same.
var words = func() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	vocabulary := make([][]byte, 400)
	for i := range vocabulary {
		word := make([]byte, 2+random.IntN(8))
		for j := range word {
			word[j] = "eeeetttaaaooinshrdlucmfwypvbgkqjxz"[random.IntN(34)]
		}
		vocabulary[i] = word
	}
	text := make([]byte, 0, 256<<10)
	for len(text) < cap(text)-16 {
		text = append(append(text, vocabulary[random.IntN(len(vocabulary))]...), ' ')
	}
	return text
}()

// Payload appends an event's JSON to dst: {"seq":"12","sent":"1795…","pad":"…"}, Size bytes. The numbers are strings,
// as protobuf's mapping writes 64-bit ones, so that all programs deliver the same.
func Payload(dst []byte, seq uint64, sent int64) []byte { return Sized(dst, Size, seq, sent) }

// Sized is Payload for events of another size, of up to 100 KB.
func Sized(dst []byte, size int, seq uint64, sent int64) []byte {
	begin := len(dst)
	dst = append(dst, `{"seq":"`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `","sent":"`...)
	dst = strconv.AppendInt(dst, sent, 10)
	dst = append(dst, `","pad":"`...)
	pad := max(0, size-len(`"}`)-(len(dst)-begin))
	from := int(seq * Size % uint64(len(words)-pad))
	dst = append(dst, words[from:from+pad]...)
	return append(dst, `"}`...)
}

// Parse reads what Payload wrote. The pad is a part of the payload.
func Parse(payload []byte) (seq uint64, sent int64, pad []byte, ok bool) {
	_, rest, ok := bytes.Cut(payload, []byte(`"seq":`))
	if !ok {
		return 0, 0, nil, false
	}
	seq, ok = Number(rest)
	if !ok {
		return 0, 0, nil, false
	}
	sent, ok = Sent(rest)
	if !ok {
		return 0, 0, nil, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"pad":"`))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return 0, 0, nil, false
	}
	return seq, sent, rest[:end], true
}

// Sent reads the time in an event's JSON.
func Sent(text []byte) (sent int64, ok bool) {
	_, text, _ = bytes.Cut(text, []byte(`"sent":`))
	n, ok := Number(text)
	return int64(n), ok
}

// Number reads the decimal number that text begins with, in quotes or not, behind spaces or not.
func Number(text []byte) (value uint64, ok bool) {
	i := 0
	for i < len(text) && (text[i] == ' ' || text[i] == '"') {
		i++
	}
	begin := i
	for i < len(text) && text[i]-'0' <= 9 {
		value = value*10 + uint64(text[i]-'0')
		i++
	}
	return value, i > begin
}
