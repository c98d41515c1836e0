package delivery

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is a poller on Linux. Descriptors are registered with their edges, so a connection costs nothing until it changes.
// The epoll descriptor itself is polled by the Go runtime: who waits is a goroutine, not a thread.
type epoll struct {
	fd   int
	file *os.File
	raw  syscall.RawConn

	events [128]unix.EpollEvent // used by wait alone

	stopOnce sync.Once
}

var thisSystem = system{newPoller: newEpoll, hasDescriptor: hasDescriptor, detach: detach}

func newEpoll() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what os.NewFile looks at: the runtime polls only such files
		_ = unix.Close(fd)
		return nil, fmt.Errorf("fcntl: %w", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &epoll{fd: fd, file: file, raw: raw}, nil
}

const (
	hangUps = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	edges   = unix.EPOLLET
)

func (e *epoll) add(t token) error { return e.control(unix.EPOLL_CTL_ADD, t, hangUps|edges) }

func (e *epoll) awaitRoom(t token) error {
	return e.control(unix.EPOLL_CTL_MOD, t, unix.EPOLLOUT|hangUps|edges)
}

func (e *epoll) control(op int, t token, events uint32) error {
	err := unix.EpollCtl(e.fd, op, int(t.fd), &unix.EpollEvent{Events: events, Fd: t.fd, Pad: t.generation})
	if err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (e *epoll) write(fd int, first, second []byte) (int, error) {
	for {
		var n int
		var err error
		if len(second) == 0 {
			n, err = send(fd, first)
		} else {
			n, err = unix.Writev(fd, [][]byte{first, second})
		}
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("delivery: %w", err)
		}
	}
}

// send is send(2), which costs less than write(2): that must find out first that it has a socket. Go's scheduler is told of
// large ones only, since none waits for the client.
func send(fd int, b []byte) (int, error) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	var n uintptr
	var failed unix.Errno
	if size := len(b); size <= maxWrite {
		n, _, failed = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(size), flags, 0, 0) //nolint:gosec // as syscall does
	} else {
		n, _, failed = unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(size), flags, 0, 0) //nolint:gosec // as syscall does
	}
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}

// maxUnread is how much is read of what a client sent after its request, before the connection is closed: what is left
// unread makes the kernel reset the connection, and the client may lose the end of the stream.
const maxUnread = 64 << 10

func (e *epoll) close(fd int, cleanly bool) {
	if cleanly {
		var unread [4 << 10]byte
		for total := 0; total < maxUnread; {
			n, err := unix.Read(fd, unread[:])
			if n <= 0 || err != nil {
				break
			}
			total += n
		}
	} else {
		// Without an error to say: it is closed in any case.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	_ = unix.Close(fd) // which takes it out of the epoll set, too
}

func (e *epoll) wait(ready []readiness) (int, error) {
	n := 0
	var failed error
	err := e.raw.Read(func(fd uintptr) bool {
		n, failed = unix.EpollWait(int(fd), e.events[:min(len(ready), len(e.events))], 0)
		if errors.Is(failed, unix.EINTR) {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	if err != nil {
		return 0, errPollerStopped
	}
	if failed != nil {
		return 0, fmt.Errorf("epoll_wait: %w", failed)
	}
	for i, event := range e.events[:n] {
		ready[i] = readiness{
			token: token{fd: event.Fd, generation: event.Pad},
			room:  event.Events&unix.EPOLLOUT != 0,
			gone:  event.Events&hangUps != 0,
		}
	}
	return n, nil
}

func (e *epoll) stop() { e.stopOnce.Do(func() { _ = e.file.Close() }) }

// counted is a connection that a listener has wrapped around another one, and counts until it is closed.
type counted interface {
	// Counted is the other one.
	Counted() net.Conn
	// Detach gives it up: its descriptor lives on. release, once, says that that is closed.
	Detach() (release func())
}

func hasDescriptor(conn net.Conn) bool {
	if outer, ok := conn.(counted); ok {
		conn = outer.Counted()
	}
	switch conn.(type) {
	case *socket, *net.TCPConn:
		return true
	default:
		return false
	}
}

// detach leaves nothing of Go's for the connection.
func detach(conn net.Conn) (fd int, release func(), ok bool) {
	outer, wrapped := conn.(counted)
	if wrapped {
		conn = outer.Counted()
	}
	switch conn := conn.(type) {
	case *socket:
		fd, ok = conn.giveUp()
	case *net.TCPConn:
		if fd, ok = duplicate(conn); ok {
			_ = conn.Close() // the duplicate keeps the connection open
		}
	}
	if ok && wrapped {
		release = outer.Detach()
	}
	return fd, release, ok
}

// duplicate returns another descriptor of the connection, which does not block either.
func duplicate(conn syscall.Conn) (fd int, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var failed error
	err = raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, err == nil && failed == nil
}
