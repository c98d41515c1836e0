//go:build unix

package crowd_test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// book is what the readers of one stream must get. The first reader who gets an event shows it to the oracle; what the
// others get must be the same bytes. So ten thousand readers cost little more than one.
type book struct {
	stream string
	last   int
	shared bool // all read one call, so that an event has the same id for each
	pages  []atomic.Pointer[page]
}

// page is one event.
type page struct {
	id, rest []byte // the id, if it is the same for all; the fields event and data
	link     oracle.Link
}

func newBook(stream string, last int, shared bool) *book {
	return &book{stream: stream, last: last, shared: shared, pages: make([]atomic.Pointer[page], last+1)}
}

// wrongError is what must not be.
type wrongError struct {
	kind string // lost, twice, foreign, changed, ids, frame
	what string
}

func (w *wrongError) Error() string { return w.kind + ": " + w.what }

func wrong(kind, format string, a ...any) error {
	return &wrongError{kind: kind, what: fmt.Sprintf(format, a...)}
}

// check checks a frame that must hold event n, taken apart into its id and what comes behind the id. With n 0 any event
// will do. It returns the number of the event.
func (b *book) check(n int, id, rest []byte) (int, error) {
	if n > 0 && n <= b.last {
		if p := b.pages[n].Load(); p != nil && bytes.Equal(p.rest, rest) {
			return n, b.checkID(p, id)
		}
	}
	_, data, ok := bytes.Cut(rest, []byte("\ndata: "))
	if !ok || !bytes.HasPrefix(rest, []byte("event: ")) || bytes.Count(rest, []byte("\n")) != 1 {
		return 0, wrong("frame", "%q", rest)
	}
	link, err := oracle.DecodeLink(string(data))
	switch {
	case err != nil:
		return 0, wrong("changed", "%v: %q", err, rest)
	case link.Stream != b.stream:
		return 0, wrong("foreign", "an event of %q on %q", link.Stream, b.stream)
	case link.N == 0 || link.N > uint64(b.last):
		return 0, wrong("changed", "there is no event %d", link.N)
	case n > 0 && link.N > uint64(n):
		return 0, wrong("lost", "event %d instead of %d", link.N, n)
	case n > 0 && link.N < uint64(n):
		return 0, wrong("twice", "event %d instead of %d", link.N, n)
	case link.Hash != link.Sum():
		return 0, wrong("changed", "event %d", link.N)
	}
	p := &page{rest: bytes.Clone(rest), link: link}
	if b.shared {
		p.id = bytes.Clone(id)
	}
	if !b.pages[link.N].CompareAndSwap(nil, p) {
		p = b.pages[link.N].Load()
		if !bytes.Equal(p.rest, rest) {
			return 0, wrong("changed", "event %d is %q, and %q for another reader", link.N, rest, p.rest)
		}
	}
	return int(link.N), b.checkID(p, id)
}

func (b *book) checkID(p *page, id []byte) error {
	if b.shared && !bytes.Equal(p.id, id) {
		return wrong("ids", "event %d has the id %q, and %q for another reader", p.link.N, id, p.id)
	}
	return nil
}

// chained checks that every event was seen, and that they are a chain.
func (b *book) chained() error {
	for n := 2; n <= b.last; n++ {
		before, now := b.pages[n-1].Load(), b.pages[n].Load()
		if before == nil || now == nil {
			return wrong("lost", "nobody has seen events %d and %d of %s", n-1, n, b.stream)
		}
		if now.link.Prev != before.link.Hash {
			return wrong("changed", "event %d of %s does not hold the hash of the one before it", n, b.stream)
		}
	}
	return nil
}

// position is the number at the beginning of an id; 0 for none.
func position(id []byte) int {
	digits, _, _ := bytes.Cut(id, []byte("."))
	n, err := strconv.Atoi(string(digits))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
