package delivery

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// heads remembers the heads that were made last. Within a second most are the same, and making one costs a third of what
// sending it does. They differ by the origin that a page has, if by anything: so each length of it has a place.
type heads struct{ last [16]atomic.Pointer[madeHead] }

// madeHead is a head, and what it was made of.
type madeHead struct {
	date   *string // names the second
	minor  int     // of the request's protocol
	fields []headField
	text   []byte
}

type headField struct {
	name   string
	values []string
}

// of is hijackedHead, but header may be left as it is, and the head must be.
func (h *heads) of(header http.Header, r *http.Request) []byte {
	origin := 0
	for _, value := range header["Access-Control-Allow-Origin"] {
		origin += len(value)
	}
	place, date := &h.last[origin%len(h.last)], &date()[0]
	if m := place.Load(); m != nil && m.date == date && m.minor == r.ProtoMinor && m.isOf(header) {
		return m.text
	}
	m := &madeHead{date: date, minor: r.ProtoMinor}
	for name, values := range header {
		m.fields = append(m.fields, headField{name: name, values: slices.Clone(values)})
	}
	m.text = hijackedHead(header, r) // whose date may be a later one: then it is not found again
	place.Store(m)
	return m.text
}

func (m *madeHead) isOf(header http.Header) bool {
	if len(header) != len(m.fields) {
		return false
	}
	for _, field := range m.fields {
		if values, ok := header[field.name]; !ok || !slices.Equal(values, field.values) {
			return false
		}
	}
	return true
}

// headBuffers are for the first write of a response.
var headBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, 0, headRoom)
	return &buffer
}}

// maxHeadBuffer is how large one is at most that is used again.
const maxHeadBuffer = 4 << 10

// takeBack takes a buffer back that has become b, which nobody uses any more.
func takeBack(buffer *[]byte, b []byte) {
	if cap(b) <= maxHeadBuffer {
		*buffer = b[:0]
		headBuffers.Put(buffer)
	}
}
