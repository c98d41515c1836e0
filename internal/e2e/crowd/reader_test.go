//go:build unix

package crowd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// sources are how many local addresses the clients have: one does not have ports enough for all that are cut.
	sources = 16
	// silence is how long a connection may carry nothing. Heartbeats come every 8 seconds.
	silence = time.Minute
	// mostFruitless is how many connections one after the other may bring nothing but stream.open, and end well.
	mostFruitless = 20
	// smallBuffer is the receive buffer of a client's socket.
	smallBuffer = 8 << 10
)

// reader is one client. It is one goroutine, but for what is atomic.
type reader struct {
	number  int
	book    *book
	target  string // HOST:PORT
	path    string
	random  *rand.Rand
	counts  *tally
	dialing chan struct{} // has as many slots as clients may connect at once
	fate    func(*reader) fate
	// mayReset: the reader may fall behind what is kept, and must be told so then.
	mayReset bool
	// stall is called once, behind event stallAt, and reads nothing until it returns.
	stallAt int
	stall   func(*reader, *net.TCPConn)

	conn        atomic.Pointer[net.TCPConn] // the open one
	read        atomic.Int64                // the number of the newest event
	opened      atomic.Bool                 // a stream.open came, so that there is a cursor
	cursor      []byte                      // the newest id
	next        int                         // the number of the next event; 0: any
	floor       int                         // the next event has at least this number
	ended       bool                        // stream.end came
	lacks       bool                        // the last stream.open said that the cursor is not resumed, and no reset has come yet
	connections int                         // so far
	fruitless   int                         // how many since the last that brought something, or was cut
	cuts        int                         // how often the reader has cut its connection
	reset       bool                        // somebody has seen that the bridge has reset the connection: the socket tells it once
	refused     bool                        // the newest connection has brought no stream
	buffer      []byte
}

// tally counts what happened to all readers.
type tally struct {
	connections, unanswered, cut, insideFrame, halfClosed, busy, resets, left, events atomic.Int64
}

func (c *tally) String() string {
	return fmt.Sprintf("%d events; %d connections: %d not answered, %d cut by the client, %d of them inside a frame, %d half-closed, "+
		"%d busy, %d ended by the bridge; %d resets", c.events.Load(), c.connections.Load(), c.unanswered.Load(), c.cut.Load(),
		c.insideFrame.Load(), c.halfClosed.Load(), c.busy.Load(), c.left.Load(), c.resets.Load())
}

// errCut: this side has cut the connection.
var errCut = errors.New("cut")

// run reads the stream to its end, and comes back until the bridge says that there is nothing more. The error is ctx's, or
// says what was wrong.
func (r *reader) run(ctx context.Context) error {
	for {
		over, err := r.connect(ctx)
		if r.fruitless++; !errors.Is(err, io.EOF) || r.refused {
			r.fruitless = 0
		}
		if r.fruitless > mostFruitless {
			err = wrong("lost", "%d connections have brought nothing, and ended as if that were all", r.fruitless)
		}
		_, wrong := errors.AsType[*wrongError](err)
		switch {
		case wrong:
			return fmt.Errorf("reader %d of %s, connection %d, behind event %d: %w", r.number, r.path, r.connections, r.read.Load(), err)
		case over:
			return nil
		}
		pause := time.Duration(r.random.IntN(100)) * time.Millisecond
		if r.refused && !errors.Is(err, errCut) { // those who find no room must not make all the load
			pause *= 10
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("reader %d of %s: %w behind event %d; the last connection: %w", r.number, r.path, ctx.Err(), r.read.Load(), err)
		}
	}
}

// connect makes one connection and reads until it ends. An error that is no wrongError is the connection's.
func (r *reader) connect(ctx context.Context) (over bool, err error) {
	r.refused = true
	f := fate{}
	if r.fate != nil {
		f = r.fate(r)
	}
	conn, err := r.dial(ctx, f)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	r.conn.Store(conn)
	defer r.conn.Store(nil)
	r.reset = false
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if f.kind == cutInRequest || f.kind == cutUnanswered {
		return false, r.cut(conn, f)
	}
	in := &incoming{reader: r, conn: conn, fate: f, left: f.after}
	status, err := in.head()
	switch {
	case err != nil && !errors.Is(err, errCut):
		r.counts.unanswered.Add(1)
		return false, err
	case err != nil:
		return false, err
	case status == "204" && r.ended:
		return true, nil
	case status != "200":
		return false, wrong("frame", "status %s for the cursor %q", status, r.cursor)
	}
	return false, in.frames()
}

// dial connects and sends the request, or a part of it if the fate says so.
func (r *reader) dial(ctx context.Context, f fate) (*net.TCPConn, error) {
	select {
	case r.dialing <- struct{}{}:
		defer func() { <-r.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.counts.connections.Add(1)
	r.connections++
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+r.number%sources))},
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer) // only makes it slower
			})
		},
	}
	c, err := d.DialContext(ctx, "tcp4", r.target)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: bridge\r\nAccept: text/event-stream\r\n", r.path)
	if len(r.cursor) > 0 {
		request += "Last-Event-ID: " + string(r.cursor) + "\r\n"
	}
	request += "\r\n"
	if f.kind == cutInRequest {
		request = request[:r.random.IntN(len(request))]
	}
	if _, err := c.Write([]byte(request)); err != nil {
		_ = c.Close()
		r.counts.unanswered.Add(1)
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// cut ends the connection as the fate says.
func (r *reader) cut(conn *net.TCPConn, f fate) error {
	r.counts.cut.Add(1)
	r.cuts++
	switch f.how {
	case byReset:
		_ = conn.SetLinger(0)
	case byHalf:
		// The bridge is told that no more comes from here, and must take it for the end, as net/http does.
		r.counts.halfClosed.Add(1)
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, errTimeout) {
			return wrong("frame", "a connection that was half closed is still open after %v", silence)
		}
	case byClose:
	}
	_ = conn.Close()
	return errCut
}

var errTimeout = context.DeadlineExceeded

// frame takes one block, without its empty line.
func (r *reader) frame(block []byte) (busy bool, err error) {
	if r.ended {
		return false, wrong("frame", "%q behind the end", block)
	}
	if string(block) == ":" {
		return false, nil
	}
	if rest, ok := bytes.CutPrefix(block, []byte(":\nretry: ")); ok {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
		return r.control(rest)
	}
	id, rest, ok := bytes.Cut(block, []byte("\n"))
	id, hasID := bytes.CutPrefix(id, []byte("id: "))
	if bytes.Contains(block, []byte("event: stream.")) || !ok || !hasID {
		return r.control(block)
	}
	if r.lacks {
		return false, wrong("lost", "%q behind a cursor that was not resumed, without a reset", block)
	}
	n, err := r.book.check(r.next, id, rest)
	switch {
	case err != nil:
		return false, err
	case n < r.floor:
		return false, wrong("twice", "event %d behind a reset at %d", n, r.floor)
	case position(id) != position(r.cursor)+1:
		return false, wrong("ids", "the id %q behind %q", id, r.cursor)
	}
	r.cursor = append(r.cursor[:0], id...)
	r.fruitless = 0
	r.next, r.floor = n+1, n+1
	r.read.Store(int64(n))
	r.counts.events.Add(1)
	return false, nil
}

// control takes one of the bridge's own frames.
func (r *reader) control(block []byte) (busy bool, err error) {
	fields := map[string]string{}
	for line := range strings.Lines(string(block)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		fields[name] = value
	}
	var data struct {
		Resumed bool
		Missed  int
		Reason  string
	}
	if err := json.Unmarshal([]byte(fields["data"]), &data); err != nil {
		return false, wrong("frame", "%v: %q", err, block)
	}
	id := []byte(fields["id"])
	switch fields["event"] {
	case "stream.open":
		if len(r.cursor) > 0 && !bytes.Equal(id, r.cursor) {
			return false, wrong("ids", "opened at %q, but %q was presented", id, r.cursor)
		}
		r.lacks = len(r.cursor) > 0 && !data.Resumed
		r.cursor = append(r.cursor[:0], id...)
		r.opened.Store(true)
		r.refused = false
	case "stream.reset":
		r.fruitless = 0
		r.counts.resets.Add(1)
		if !r.mayReset || data.Reason != "expired" {
			return false, wrong("lost", "%q", block)
		}
		if data.Missed != position(id)-position(r.cursor) {
			return false, wrong("ids", "%q behind the id %s", block, r.cursor)
		}
		r.lacks = false
		r.cursor = append(r.cursor[:0], id...)
		if r.next > 0 {
			r.next += data.Missed
			r.floor = r.next
		}
	case "stream.end":
		if fields["data"] != `{"code":0,"status":"OK"}` || r.next != r.book.last+1 {
			return false, wrong("lost", "%q, and the next event would be %d of %d", block, r.next, r.book.last)
		}
		r.cursor = append(r.cursor[:0], id...)
		r.ended, r.fruitless = true, 0
	case "stream.busy":
		r.counts.busy.Add(1)
		return true, nil
	case "stream.waiting":
	default:
		return false, wrong("frame", "%q", block)
	}
	return false, nil
}
