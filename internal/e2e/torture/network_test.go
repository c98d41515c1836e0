package torture_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// fate is what happens to one connection.
type fate struct {
	// refused connections are reset before anything is read.
	refused bool
	// after is how many bytes of the response pass before the cut; negative: all of them.
	after int
	// reset cuts with RST, else with FIN, which a response without a length looks complete after.
	reset bool
	// stall is how long nothing moves before the cut.
	stall time.Duration
	// slice is the most bytes that pass in one write; 0: as they come.
	slice int
	// lag is the longest pause between two slices. Most have none.
	lag time.Duration
}

// draw draws a fate for a connection of a stream that is about size bytes long.
func draw(r *rand.Rand, size int) fate {
	f := fate{after: -1, reset: r.IntN(2) == 0}
	switch n := r.IntN(100); {
	case n < 5:
		f.refused = true
	case n < 13:
		f.after = 0 // the request arrived, and nothing came back
	case n < 25:
		f.after = r.IntN(600) // inside the head or the first frames
	case n < 93:
		f.after = r.IntN(max(1, size/6))
	}
	if r.IntN(5) == 0 {
		f.stall = time.Duration(r.IntN(50)) * time.Millisecond
	}
	if r.IntN(3) == 0 {
		f.slice = max(1+r.IntN(700), size/1000) // a byte at a time, a long stream would take for ever
		f.lag = time.Duration(r.IntN(2000)) * time.Microsecond
	}
	return f
}

// tally counts what networks did.
type tally struct {
	mu  sync.Mutex
	all sums
}

type sums struct {
	connections, refused, silent, resets, closes int
	bytes                                        int64
}

func (c *tally) count(f fate, cut bool, passed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.connections++
	c.all.bytes += int64(passed)
	switch {
	case f.refused:
		c.all.refused++
	case cut && passed == 0:
		c.all.silent++
	case cut && f.reset:
		c.all.resets++
	case cut:
		c.all.closes++
	}
}

// sums is what was counted so far.
func (c *tally) sums() sums {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func (s sums) faults() int { return s.refused + s.silent + s.resets + s.closes }

// network lies between one client and the bridge. Its connections meet their fates in the order in which they are made.
type network struct {
	target string
	random *rand.Rand // of the accepting goroutine, then of nobody
	next   func(r *rand.Rand, connection int) fate
	tally  *tally
	fault  *fault // what else is done to the bytes; nil: nothing
	opaque bool   // the requests cannot be read: they are HTTP/2 or encrypted

	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	closed   bool
}

// start makes the network ready, on an address that it returns, until the test ends.
func (n *network) start(t testing.TB) string {
	t.Helper()
	n.listener = listen(t)
	n.open = map[net.Conn]bool{}
	n.work.Go(n.accept)
	t.Cleanup(n.close)
	return n.listener.Addr().String()
}

func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	_ = n.listener.Close()
	for c := range n.open {
		_ = c.Close()
	}
	n.mu.Unlock()
	n.work.Wait()
}

// cutAll resets every connection that is open now.
func (n *network) cutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func (n *network) accept() {
	for connection := 0; ; connection++ {
		down, err := n.listener.Accept()
		if err != nil {
			return
		}
		f := n.next(n.random, connection)
		lags := rand.New(rand.NewPCG(n.random.Uint64(), 0))
		n.work.Go(func() { n.connection(down, f, lags) })
	}
}

// keep remembers a connection, so that close ends it; false after that.
func (n *network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = c.Close()
		return false
	}
	n.open[c] = true
	return true
}

func (n *network) drop(c net.Conn) {
	_ = c.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
}

func (n *network) connection(down net.Conn, f fate, lags *rand.Rand) {
	if !n.keep(down) {
		return
	}
	defer n.drop(down)
	if f.refused {
		_ = down.(*net.TCPConn).SetLinger(0)
		n.tally.count(f, true, 0)
		return
	}
	up, err := new(net.Dialer).DialContext(context.Background(), "tcp", n.target)
	if err != nil || !n.keep(up) {
		return
	}
	defer n.drop(up)
	n.work.Go(func() { n.request(down, up) })
	passed, cut := n.response(down, up, f, lags)
	n.tally.count(f, cut, passed)
	if cut && f.reset {
		_ = down.(*net.TCPConn).SetLinger(0)
	}
}

// request passes the request on, changed by the fault if there is one. Afterwards it waits for the client to leave.
func (n *network) request(down, up net.Conn) {
	defer n.drop(up)
	if n.opaque {
		_, _ = io.Copy(up, down)
		return
	}
	from := bufio.NewReader(down)
	request, err := http.ReadRequest(from)
	if err != nil {
		return
	}
	n.fault.onRequest(request)
	var raw bytes.Buffer
	if request.Write(&raw) != nil { // reads the body: the client has gone if it cannot
		return
	}
	if _, err := up.Write(raw.Bytes()); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, from)
}

// response passes the response on until it ends or the cut is due.
func (n *network) response(down, up net.Conn, f fate, lags *rand.Rand) (passed int, cut bool) {
	source := n.fault.onResponse(up)
	buffer := make([]byte, 32<<10)
	if f.slice > 0 {
		buffer = buffer[:min(f.slice, len(buffer))]
	}
	for {
		var size int
		var err error
		if f.after != 0 {
			size, err = source.Read(buffer)
		} else {
			size, err = up.Read(buffer[:1]) // so that the request has done what it does
		}
		if f.after >= 0 && passed+size >= f.after {
			size = f.after - passed
			cut = true
		}
		if size > 0 {
			if _, err := down.Write(buffer[:size]); err != nil {
				return passed, false
			}
			passed += size
		}
		if cut {
			pause(f.stall)
			return passed, true
		}
		if err != nil {
			return passed, false
		}
		if f.lag > 0 && lags.IntN(20) == 0 {
			pause(time.Duration(lags.Int64N(int64(f.lag) + 1)))
		}
	}
}

// pause is what a slow network does.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
