package delivery

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listener accepts descriptors.
type listener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr

	closed atomic.Bool
}

// newListener takes the place of ln, which is closed.
func newListener(ln *net.TCPListener) (net.Listener, error) {
	file, err := ln.File()
	if err = errors.Join(err, ln.Close()); err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &listener{file: file, raw: raw, addr: ln.Addr()}, nil
}

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return l.addr }

// Close ends Accept.
func (l *listener) Close() error {
	l.closed.Store(true)
	return l.failed("close", l.file.Close())
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	var fd int
	var from unix.Sockaddr
	var failed error
	err := l.raw.Read(func(listening uintptr) bool {
		for {
			fd, from, failed = unix.Accept4(int(listening), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if !errors.Is(failed, unix.EINTR) && !errors.Is(failed, unix.ECONNABORTED) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	switch {
	case l.closed.Load() && err != nil:
		return nil, errClosed
	case err == nil:
		err = failed
	}
	if err != nil {
		return nil, l.failed("accept", err)
	}
	return &socket{from: l, fd: fd, remote: addrPort(from)}, nil
}

func (l *listener) failed(op string, err error) error { return failed(op, err, nil, l.addr) }

// addrPort is a peer's address.
func addrPort(peer unix.Sockaddr) netip.AddrPort {
	switch peer := peer.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(peer.Addr), uint16(peer.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(peer.Addr).Unmap()
		if peer.ZoneId != 0 {
			ip = ip.WithZone(strconv.Itoa(int(peer.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(peer.Port))
	default:
		return netip.AddrPort{}
	}
}

// address is a socket's end.
type address netip.AddrPort

// Network and String are net.Addr's.
func (*address) Network() string  { return "tcp" }
func (a *address) String() string { return netip.AddrPort(*a).String() }

// socket is a connection that a listener has accepted. The runtime does not poll it before somebody must wait: the request
// for a stream is mostly there when the connection is accepted, and then a shard polls it. Until then a socket is a bare
// descriptor, whose deadlines are looked at when it is used. It costs nothing to give up; to take it away from the runtime
// again costs more than to read the request.
type socket struct {
	from   *listener
	remote netip.AddrPort
	polled atomic.Pointer[os.File] // nil: nobody has waited for it

	mu      sync.Mutex
	closed  bool      // or given up
	fd      int       // until it is polled
	readBy  time.Time // deadlines of what is not polled
	writeBy time.Time
}

// Read is io.Reader's.
func (s *socket) Read(p []byte) (int, error) {
	f := s.polled.Load()
	if f == nil {
		var n int
		var err error
		if n, f, err = s.atOnce(&s.readBy, p, unix.Read); f == nil || err != nil {
			if n == 0 && err == nil && len(p) != 0 {
				err = io.EOF
			}
			return n, s.failed("read", err)
		}
	}
	n, err := f.Read(p)
	return n, s.failed("read", err)
}

// Write is io.Writer's.
func (s *socket) Write(p []byte) (int, error) {
	written := 0
	f := s.polled.Load()
	for f == nil && written < len(p) {
		var n int
		var err error
		if n, f, err = s.atOnce(&s.writeBy, p[written:], unix.Write); err != nil {
			return written, s.failed("write", err)
		}
		written += n
	}
	if written == len(p) {
		return written, nil
	}
	n, err := f.Write(p[written:])
	return written + n, s.failed("write", err)
}

// atOnce does what needs no waiting. For what does, it returns a file.
func (s *socket) atOnce(by *time.Time, p []byte, do func(fd int, p []byte) (int, error)) (int, *os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.polled.Load(); f != nil {
		return 0, f, nil
	}
	for {
		switch {
		case s.closed:
			return 0, nil, net.ErrClosed
		case !by.IsZero() && !time.Now().Before(*by):
			return 0, nil, os.ErrDeadlineExceeded
		}
		n, err := do(s.fd, p)
		switch {
		case errors.Is(err, unix.EAGAIN):
			f, err := s.pollLocked()
			return 0, f, err
		case !errors.Is(err, unix.EINTR):
			return max(n, 0), nil, err
		}
	}
}

// pollLocked has the runtime poll the descriptor from now on.
func (s *socket) pollLocked() (*os.File, error) {
	f := os.NewFile(uintptr(s.fd), "tcp")
	s.polled.Store(f)
	return f, errors.Join(f.SetReadDeadline(s.readBy), f.SetWriteDeadline(s.writeBy))
}

// Close closes the connection.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.closed = true
	if f := s.polled.Load(); f != nil {
		return s.failed("close", f.Close())
	}
	return s.failed("close", unix.Close(s.fd))
}

// giveUp returns the descriptor: for the socket, that is as if it were closed. It is not ok where there is none, and where
// none is left for a duplicate of what is polled, which the runtime does not let go of.
func (s *socket) giveUp() (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	f := s.polled.Load()
	if f == nil {
		s.closed = true
		return s.fd, true
	}
	if fd, s.closed = duplicate(f); s.closed {
		_ = f.Close()
	}
	return fd, s.closed
}

// SetLinger is net.TCPConn's.
func (s *socket) SetLinger(seconds int) error {
	linger := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	if seconds < 0 {
		linger = unix.Linger{}
	}
	return s.failed("set", s.control(func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
	}))
}

// CloseWrite is net.TCPConn's.
func (s *socket) CloseWrite() error {
	return s.failed("close", s.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }))
}

func (s *socket) control(do func(fd int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.polled.Load()
	switch {
	case s.closed:
		return net.ErrClosed
	case f == nil:
		return do(s.fd)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}

// SetDeadline sets both deadlines.
func (s *socket) SetDeadline(t time.Time) error {
	return s.setDeadlines(t, (*os.File).SetDeadline, &s.readBy, &s.writeBy)
}

// SetReadDeadline sets that of Read.
func (s *socket) SetReadDeadline(t time.Time) error {
	return s.setDeadlines(t, (*os.File).SetReadDeadline, &s.readBy)
}

// SetWriteDeadline sets that of Write.
func (s *socket) SetWriteDeadline(t time.Time) error {
	return s.setDeadlines(t, (*os.File).SetWriteDeadline, &s.writeBy)
}

func (s *socket) setDeadlines(t time.Time, set func(*os.File, time.Time) error, deadlines ...*time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if f := s.polled.Load(); f != nil {
		return s.failed("set", set(f, t))
	}
	for _, by := range deadlines {
		*by = t
	}
	return nil
}

// RemoteAddr is the client's address.
func (s *socket) RemoteAddr() net.Addr { return (*address)(&s.remote) }

// LocalAddr is where the listener listens, which may be all addresses of the host: nobody asks which of them it was.
func (s *socket) LocalAddr() net.Addr { return s.from.addr }

// errClosed is what net/http is told of each connection that was given up.
var errClosed = &net.OpError{Op: "use", Net: "tcp", Err: net.ErrClosed}

func (s *socket) failed(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return failed(op, err, s.from.addr, s.RemoteAddr())
}

// failed is err as net has it.
func failed(op string, err error, local, remote net.Addr) error {
	if err == nil {
		return nil
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err
	}
	if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
		return errClosed
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		err = os.NewSyscallError(op, number)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: local, Addr: remote, Err: err}
}
