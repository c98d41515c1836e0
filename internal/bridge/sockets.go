package bridge

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// refusalsAge is how often the log says that connections are refused.
const refusalsAge = time.Minute

// bounded accepts at most limit connections at once, and resets those beyond it as soon as they are there. Without it a
// flood of connections takes every file descriptor: then nothing can be accepted or dialled any more, probes included, and
// who waits is not even refused. EventSource tries again after a reset.
func bounded(ln net.Listener, limit int, logger *slog.Logger) net.Listener {
	return &boundedListener{Listener: ln, limit: int64(limit), logger: logger}
}

type boundedListener struct {
	net.Listener
	limit  int64
	logger *slog.Logger
	open   atomic.Int64

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
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if l.open.Add(1) <= l.limit {
			return &socket{TCPConn: tcp, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		l.refuse(tcp)
	}
}

// refuse resets the connection: a close would leave the kernel with its rest.
func (l *boundedListener) refuse(tcp *net.TCPConn) {
	_ = tcp.SetLinger(0)
	_ = tcp.Close()
	l.refused++
	if now := time.Now(); now.Sub(l.reported) >= refusalsAge {
		l.logger.Warn("connections are refused: the process has as many as its limit of open files allows",
			"limit", l.limit, "refused", l.refused)
		l.refused, l.reported = 0, now
	}
}

// socket is an accepted connection that counts until it is closed. It is not one over another: whoever looks below TLS
// must end here, or it would count for ever.
type socket struct {
	*net.TCPConn
	closed func()
}

// Close closes the connection.
func (s *socket) Close() error {
	defer s.closed()
	return s.TCPConn.Close()
}
