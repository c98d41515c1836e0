//go:build unix

package torture_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// browser reads a shared stream of numbered events as EventSource does, and keeps no more of it than it needs to see that
// nothing is missing and nothing comes twice: a thousand of them fit into a test.
type browser struct {
	address, path string

	sequence    atomic.Uint64 // the number of the newest event
	connections atomic.Int64
	waits       atomic.Int64           // stream.waiting
	wrong       atomic.Pointer[string] // what was the first thing wrong; nil: nothing

	// Of the goroutine that runs.
	last     string // the newest id
	position uint64 // of the newest event
	snapshot bool   // the newest event was of a snapshot
	resumes  bool   // the connection was opened at last
}

func (b *browser) fail(format string, a ...any) {
	b.wrong.CompareAndSwap(nil, new(fmt.Sprintf(format, a...)))
}

// run reads until ctx ends.
func (b *browser) run(ctx context.Context) {
	for ctx.Err() == nil {
		b.connect(ctx)
		pause(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
}

func (b *browser) connect(ctx context.Context) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", b.address)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	cursor := ""
	if b.resumes = b.last != ""; b.resumes {
		cursor = "Last-Event-ID: " + b.last + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%s\r\n", b.path, cursor); err != nil {
		return
	}
	from := bufio.NewReader(conn)
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.fail("%s", response.Status)
		return
	}
	b.connections.Add(1)
	b.read(bufio.NewReader(response.Body))
}

// read reads frames until the response ends.
func (b *browser) read(from *bufio.Reader) {
	var id, event, data string
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data = value
		case "":
			if event != "" {
				b.dispatch(id, event, data)
			}
			id, event, data = "", "", ""
		}
	}
}

func (b *browser) dispatch(id, event, data string) {
	switch event {
	case "stream.open":
		if b.resumes && (id != b.last || !strings.Contains(data, `"resumed":true`)) {
			b.fail("opened at %s, presented %s: %s", id, b.last, data)
		}
	case "stream.waiting":
		b.waits.Add(1)
	case "stream.bookmark":
	case "stream.busy":
		if !strings.Contains(data, `"starting"`) && !strings.Contains(data, `"drain"`) {
			b.fail("%s %s", event, data)
		}
		return
	case "odd", "even":
		b.event(id, data)
	default:
		b.fail("%s %s behind event %d", event, data, b.sequence.Load())
	}
	if id != "" {
		b.last = id
	}
}

func (b *browser) event(id, data string) {
	digits, mark, _ := strings.Cut(id, ".")
	position, err := strconv.ParseUint(digits, 10, 64)
	_, number, _ := strings.Cut(data, `"sequence":"`)
	number, _, _ = strings.Cut(number, `"`)
	n, err2 := strconv.ParseUint(number, 10, 64)
	before, snapshot := b.sequence.Load(), strings.Contains(mark, "~s")
	switch {
	case err != nil || err2 != nil:
		b.fail("id %q, data %s", id, data)
	case position <= b.position:
		b.fail("id %s follows position %d", id, b.position)
	case before != 0 && n <= before:
		b.fail("event %d follows event %d", n, before)
	case before != 0 && n != before+1 && !snapshot:
		b.fail("event %d follows event %d, id %s follows position %d", n, before, id, b.position)
	case snapshot && before != 0 && !b.snapshot:
		b.fail("a snapshot with event %d behind event %d", n, before)
	}
	b.position, b.snapshot = position, snapshot
	b.sequence.Store(n)
}
