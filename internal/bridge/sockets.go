package bridge

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// refusalsAge is how often the log says that connections are refused.
const refusalsAge = time.Minute

// bounded accepts at most limit connections at once, and resets those beyond it as soon as they are there. Without it a
// flood of connections takes every file descriptor: then nothing can be accepted or dialled any more, probes included, and
// who waits is not even refused. EventSource tries again after a reset.
func bounded(ln net.Listener, limit int, logger *slog.Logger) *boundedListener {
	l := &boundedListener{Listener: ln, limit: limit, logger: logger, open: map[*socket]struct{}{}}
	l.release = l.closed
	return l
}

type boundedListener struct {
	net.Listener
	limit  int
	logger *slog.Logger

	release func() // closed: one for all connections, which are many

	mu    sync.Mutex
	count int
	open  map[*socket]struct{} // those of count that have not been given up to somebody else

	// Used by Accept alone, which net/http calls from one goroutine.
	refused  int       // since it was logged
	reported time.Time // when it was logged
}

// Accept waits for the next connection that there is room for.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(tcpConn)
		if !ok {
			return conn, nil
		}
		if s := l.take(tcp); s != nil {
			return s, nil
		}
		l.refuse(tcp)
	}
}

// take counts the connection; nil where there is no room for it.
func (l *boundedListener) take(tcp tcpConn) *socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= l.limit {
		return nil
	}
	l.count++
	s := &socket{tcpConn: tcp, from: l}
	s.writes.init(tcp)
	l.open[s] = struct{}{}
	return s
}

// closed counts a connection out.
func (l *boundedListener) closed() {
	l.mu.Lock()
	l.count--
	l.mu.Unlock()
}

// reset resets every connection that is open, so that nobody waits for a client any longer that takes nothing. Those that
// were given up have an owner who is asked by itself.
func (l *boundedListener) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.open {
		_ = s.SetLinger(0)
		_ = s.tcpConn.Close() // counted out by who holds it
	}
}

// refuse resets the connection: a close would leave the kernel with its rest.
func (l *boundedListener) refuse(tcp tcpConn) {
	_ = tcp.SetLinger(0)
	_ = tcp.Close()
	l.refused++
	if now := time.Now(); now.Sub(l.reported) >= refusalsAge {
		l.logger.Warn("connections are refused: the process has as many as its limit of open files allows",
			"limit", l.limit, "refused", l.refused)
		l.refused, l.reported = 0, now
	}
}

// tcpConn is a TCP connection: net's, or delivery's.
type tcpConn interface {
	net.Conn
	SetLinger(seconds int) error
	CloseWrite() error
}

// socket is an accepted connection that counts until it is closed. It is not one over another: whoever looks below TLS
// must end here, or it would count for ever.
type socket struct {
	tcpConn
	from   *boundedListener
	writes writeDeadline
}

// SetWriteDeadline sets the deadline for writes.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.writes.set(t)
	return nil // of a closed connection writes say it
}

// SetDeadline sets the deadlines for reads and writes.
func (s *socket) SetDeadline(t time.Time) error {
	s.writes.set(t)
	return s.SetReadDeadline(t)
}

// RemoteAddr is the client's address. It is what net/http asks for first, while there is little on its goroutine's stack,
// and the time to have that grow once: handlers need 8 KB, and a goroutine begins with less. Each time that it does not
// suffice all that is on it is moved, which costs more the deeper it is.
func (s *socket) RemoteAddr() net.Addr {
	var room [5 << 10]byte
	use(&room)
	return s.tcpConn.RemoteAddr()
}

//go:noinline
func use(*[5 << 10]byte) {}

// Counted is the connection itself.
func (s *socket) Counted() net.Conn { return s.tcpConn }

// Detach gives the connection up to who has its descriptor. It counts until release is called, once.
func (s *socket) Detach() (release func()) {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	if _, open := s.from.open[s]; !open {
		return func() {} // somebody has closed it in the meantime, and counted it out
	}
	delete(s.from.open, s)
	return s.from.release
}

// Close closes the connection, and counts it out.
func (s *socket) Close() error {
	s.from.mu.Lock()
	if _, open := s.from.open[s]; open {
		delete(s.from.open, s)
		s.from.count--
	}
	s.from.mu.Unlock()
	s.writes.close()
	return s.tcpConn.Close()
}
