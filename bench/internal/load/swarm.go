package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

const (
	perAddress = 4000      // connections from one local address
	bufferSize = 256 << 10 // of each loop, for all of its connections
	batchSize  = 512       // events of epoll at a time
	moderation = 100 * time.Microsecond
)

// loop is a thread that connects and reads a part of the subscribers. All of their sockets share one epoll and one
// buffer; a readable one costs one read.
type loop struct {
	*tally
	config  *Config
	to      unix.SockaddrInet4
	epoll   int
	stop    int // an eventfd
	conns   []conn
	opened  int // of conns
	pending int // connections without a head
	buffer  []byte
}

type conn struct {
	reader
	fd   int
	sent bool // the request is
}

// Open connects all subscribers and waits until each has the head of its response.
func Open(ctx context.Context, c Config) (*Readers, error) {
	c.setDefaults()
	addr, err := netip.ParseAddrPort(c.Addr)
	if err != nil {
		return nil, err
	}
	r := newReaders(&c)
	var loops []*loop
	for i := range c.Loops {
		l, err := newLoop(&c, i, r.wake)
		if err != nil {
			for _, l := range loops {
				l.release()
			}
			return nil, err
		}
		l.to = unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
		loops = append(loops, l)
		r.tallies = append(r.tallies, l.tally)
	}
	var running sync.WaitGroup
	for _, l := range loops {
		running.Go(l.run)
	}
	r.close = func() {
		for _, l := range loops {
			_, _ = unix.Write(l.stop, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // any number, which an eventfd takes
		}
		running.Wait()
		for _, l := range loops {
			l.release()
		}
	}
	if err := r.opened(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func newLoop(c *Config, i int, moved func()) (*loop, error) {
	l := &loop{config: c, tally: newTally(c.First, c.Latency, !c.Own, moved), buffer: make([]byte, bufferSize)}
	for n := i; n < c.Conns; n += c.Loops {
		l.conns = append(l.conns, conn{fd: -1, reader: reader{n: n, next: c.First}})
		if n < c.Conns-c.Deaf {
			l.readers++
		}
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if l.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(l.epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	stop := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.stop, &stop); err != nil {
		l.release()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// release closes everything. Connections are reset: they would keep their ports for a minute.
func (l *loop) release() {
	for i := range l.conns {
		if fd := l.conns[i].fd; fd >= 0 {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			_ = unix.Close(fd)
			l.conns[i].fd = -1
		}
	}
	_ = unix.Close(l.stop)
	_ = unix.Close(l.epoll)
}

func (l *loop) run() {
	events := make([]unix.EpollEvent, batchSize)
	for few := false; ; {
		l.mu.Lock()
		err := l.connect()
		if err != nil {
			l.fail(l.opened, err)
			l.opened = len(l.conns)
		}
		l.unlock()
		if few {
			l.moderate()
		}
		n, err := unix.EpollWait(l.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		l.mu.Lock()
		before := l.bytes
		if err != nil {
			l.fail(-1, os.NewSyscallError("epoll_wait", err))
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd < 0 {
				l.unlock()
				return
			}
			l.ready(&l.conns[e.Fd], e.Events)
		}
		few = n < batchSize/8 && l.bytes-before < bufferSize/4 && l.opened == len(l.conns) && l.pending == 0
		l.unlock()
	}
}

// moderate waits for a moment when few connections were readable. A network card does the same with its interrupts. A
// thread that sleeps in epoll_wait would be woken for each delivery, at the sender's cost, who then is measured for what
// clients on another machine do not cost it.
func (l *loop) moderate() {
	pause := unix.NsecToTimespec(int64(moderation))
	_ = unix.Nanosleep(&pause, nil) // an interrupted one is only shorter
}

// connect opens connections as long as few are pending.
func (l *loop) connect() error {
	for l.opened < len(l.conns) && l.pending < max(1, l.config.Pending/l.config.Loops) {
		c := &l.conns[l.opened]
		fd, err := l.dial(c.n)
		if err != nil {
			return err
		}
		c.fd = fd
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(l.opened)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
		l.opened++
		l.pending++
	}
	return nil
}

func (l *loop) dial(n int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + n/perAddress)}}
	err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1))
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &from))
	}
	if err == nil && n >= l.config.Conns-l.config.Deaf {
		err = narrow(fd)
	}
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, &l.to))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// narrow makes a connection's buffers small at both ends: the other end's are made for the size of segments. With the
// usual ones the kernel would take megabytes for a client that does not read.
func narrow(fd int) error {
	return errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)),
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536)),
	)
}

// ready takes what a connection has.
func (l *loop) ready(c *conn, events uint32) {
	if c.fd < 0 {
		return
	}
	if !c.sent && events&unix.EPOLLOUT != 0 && !l.request(c) {
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		l.read(c, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// request sends the connection's request, which fits into a new socket's buffer.
func (l *loop) request(c *conn) bool {
	c.sent = true
	request := l.config.Request(c.n)
	if n, err := unix.Write(c.fd, request); err != nil || n < len(request) {
		code, _ := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		l.fail(c.n, fmt.Errorf("sending the request (%d of %d bytes): %w", n, len(request), errors.Join(err, unix.Errno(code))))
		return false
	}
	return true
}

// read reads until a read leaves room in the buffer: then nothing is left, and epoll says when there is more. It does not
// say again that the connection ended.
func (l *loop) read(c *conn, ends bool) {
	for {
		n, errno := read(c.fd, l.buffer)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			l.fail(c.n, os.NewSyscallError("read", errno))
			l.drop(c)
			return
		case n == 0:
			l.fail(c.n, errEnd)
			l.drop(c)
			return
		}
		l.bytes += uint64(n)
		had := c.state != inHead
		c.feed(l.tally, l.buffer[:n], event.Now())
		if !had && c.state != inHead {
			l.pending--
			if c.n >= l.config.Conns-l.config.Deaf {
				_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
				return
			}
		}
		if n < len(l.buffer) && !ends {
			return
		}
	}
}

func (l *loop) drop(c *conn) {
	_ = unix.Close(c.fd)
	c.fd = -1
}

// read does not tell the scheduler, as unix.Read does: the socket does not block.
func read(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))) //nolint:gosec // the slice's own memory
	return int(n), errno
}
