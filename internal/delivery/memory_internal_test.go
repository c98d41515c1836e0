package delivery

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Memory is a network in memory: a listener whose connections hold a bounded number of bytes, and descriptors of them for
// pollers, with the edges that a kernel tells of. All that waits is of a kind that testing/synctest understands.
type Memory struct {
	// Goroutines: connections have no descriptors, so each is served by a goroutine.
	Goroutines bool
	// Size is how many bytes a connection holds towards the client. Default 4 KiB.
	Size int
	// NoDescriptor, if set, is asked before a descriptor is given: true is EMFILE.
	NoDescriptor func() bool

	accept chan *End
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	fds     map[int]*pipe // those that are open
	given   int           // how many were
	misused []string
	pollers []*memoryPoller
}

// NewMemory makes a network.
func NewMemory() *Memory {
	return &Memory{Size: 4 << 10, accept: make(chan *End), closed: make(chan struct{}), fds: map[int]*pipe{}}
}

// NewIn makes a Server for the connections of m.
func NewIn(c Config, m *Memory) *Server {
	d := New(c)
	d.system = system{newPoller: m.newPoller, hasDescriptor: func(net.Conn) bool { return !m.Goroutines }, detach: m.detach}
	return d
}

// Accept, Close and Addr make Memory a net.Listener.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case end := <-m.accept:
		return end, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr is nobody's.
func (m *Memory) Addr() net.Addr { return &net.TCPAddr{} }

// Dial connects a client. It returns nil when the listener is closed.
func (m *Memory) Dial() *End {
	client := m.pair()
	select {
	case m.accept <- client.pipe.ends[1]:
		return client
	case <-m.closed:
		return nil
	}
}

// pair makes a connection, and returns the client's end.
func (m *Memory) pair() *End {
	p := &pipe{}
	p.changed.L = &p.mu
	p.to[0].size, p.to[1].size = m.Size, 64<<10
	p.ends = [2]*End{{pipe: p, me: 0}, {pipe: p, me: 1}}
	return p.ends[0]
}

// Given is how many descriptors were given so far.
func (m *Memory) Given() int { m.mu.Lock(); defer m.mu.Unlock(); return m.given }

// Pollers is how many were made.
func (m *Memory) Pollers() int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.pollers) }

// Open is how many descriptors are open.
func (m *Memory) Open() int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.fds) }

// Misused is what was done to descriptors that must not be: they were closed twice, or written to when they were closed.
func (m *Memory) Misused() []string { m.mu.Lock(); defer m.mu.Unlock(); return m.misused }

// Writes is how many writes to descriptors there were.
func (m *Memory) Writes() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pollers {
		p.mu.Lock()
		n += p.writes
		p.mu.Unlock()
	}
	return n
}

func (m *Memory) detach(conn net.Conn) (fd int, release func(), ok bool) {
	if m.NoDescriptor != nil && m.NoDescriptor() {
		return 0, nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for fd = 3; m.fds[fd] != nil; fd++ { // the lowest that is free: they are used again soon
	}
	end := conn.(*End)
	m.fds[fd] = end.pipe
	m.given++
	end.pipe.mu.Lock()
	defer end.pipe.mu.Unlock()
	end.closed = true // the connection is not
	end.pipe.changed.Broadcast()
	return fd, nil, true
}

// at is the connection behind an open descriptor.
func (m *Memory) at(fd int, what string) *pipe {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.fds[fd]
	if p == nil {
		m.misused = append(m.misused, what+" of a closed descriptor")
	}
	return p
}

// pipe is one connection. ends[0] is the client's, ends[1] the server's; to[i] flows to ends[i].
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond
	to      [2]flow
	ends    [2]*End
	reset   bool // by either side

	// For the server's descriptor:
	poller *memoryPoller
	token  token
	room   bool // awaitRoom was called
	short  bool // a write took less than all since the last edge
}

type flow struct {
	bytes []byte
	size  int
	fin   bool // nothing follows
	deaf  bool // who reads it has closed
}

// tellLocked wakes who waits, and tells the poller of edges.
func (p *pipe) tellLocked() {
	p.changed.Broadcast()
	if p.poller == nil {
		return
	}
	r := readiness{token: p.token, gone: p.reset || p.to[1].fin}
	if p.room && p.short && len(p.to[0].bytes) <= p.to[0].size*2/3 { // as Linux does, when a third is free
		r.room, p.short = true, false
	}
	if r.room || r.gone {
		p.poller.tell(r)
	}
}

// write takes what there is room for.
func (p *pipe) writeLocked(to int, b []byte) (int, error) {
	f := &p.to[to]
	if p.reset {
		return 0, syscall.ECONNRESET
	}
	if f.deaf || f.fin {
		return 0, syscall.EPIPE
	}
	n := min(len(b), f.size-len(f.bytes))
	f.bytes = append(f.bytes, b[:n]...)
	return n, nil
}

// End is one end of a connection.
type End struct {
	pipe *pipe
	me   int // 0 the client, 1 the server

	linger0             bool
	closed              bool
	readBy, writeBy     time.Time
	readTimer, byWriter *time.Timer
}

var _ net.Conn = (*End)(nil)

func (e *End) Read(b []byte) (int, error) {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		f := &p.to[e.me]
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case !e.readBy.IsZero() && !time.Now().Before(e.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(f.bytes) > 0:
			n := copy(b, f.bytes)
			f.bytes = f.bytes[n:]
			p.tellLocked()
			return n, nil
		case p.reset:
			return 0, syscall.ECONNRESET
		case f.fin:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (e *End) Write(b []byte) (written int, err error) {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case e.closed:
			return written, net.ErrClosed
		case !e.writeBy.IsZero() && !time.Now().Before(e.writeBy):
			return written, os.ErrDeadlineExceeded
		}
		n, err := p.writeLocked(1-e.me, b)
		if n > 0 {
			p.tellLocked()
		}
		if written += n; err != nil || n == len(b) {
			return written, err
		}
		b = b[n:]
		p.changed.Wait()
	}
}

// Close ends the connection: with a reset after SetLinger(0), and where bytes are left that were not read.
func (e *End) Close() error {
	p := e.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.closed = true
	p.closeLocked(e.me, e.linger0 || len(p.to[e.me].bytes) > 0)
	return nil
}

func (p *pipe) closeLocked(me int, reset bool) {
	p.reset = p.reset || reset
	p.to[me].deaf, p.to[1-me].fin = true, true
	p.tellLocked()
}

// CloseWrite says that nothing follows.
func (e *End) CloseWrite() error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	e.pipe.to[1-e.me].fin = true
	e.pipe.tellLocked()
	return nil
}

// SetLinger makes Close a reset.
func (e *End) SetLinger(int) error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	e.linger0 = true
	return nil
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (e *End) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read.
func (e *End) SetReadDeadline(t time.Time) error { return e.by(&e.readBy, &e.readTimer, t) }

// SetWriteDeadline bounds Write.
func (e *End) SetWriteDeadline(t time.Time) error { return e.by(&e.writeBy, &e.byWriter, t) }

func (e *End) by(at *time.Time, timer **time.Timer, t time.Time) error {
	e.pipe.mu.Lock()
	defer e.pipe.mu.Unlock()
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	// No timer for what has passed: two that run at once, as they are made, crash the race detector (Go 1.26, testing/synctest).
	if *at = t; !t.IsZero() && time.Until(t) > 0 {
		*timer = time.AfterFunc(time.Until(t), func() {
			e.pipe.mu.Lock()
			defer e.pipe.mu.Unlock()
			e.pipe.changed.Broadcast()
		})
	}
	e.pipe.changed.Broadcast()
	return nil
}

// LocalAddr is nobody's.
func (e *End) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is nobody's.
func (e *End) RemoteAddr() net.Addr { return &net.TCPAddr{} }
