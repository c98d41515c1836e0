//go:build linux

package kernel

import (
	"bytes"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patienceMillis is how long a write waits for a reader that does not read before it is given up.
const patienceMillis = 30_000

// write sends all of data, and closes the descriptor when it cannot. The system call is made without telling Go's
// scheduler: the socket never blocks, and the loop has a thread of its own. To a socket send(2) costs a little less than
// write(2), which first finds out that it is one.
func write(fd int, data []byte) (ok bool) {
	for len(data) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))), //nolint:gosec // as syscall.Write does
			uintptr(len(data)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == 0:
			data = data[n:]
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && writable(fd):
		default:
			_ = unix.Close(fd)
			return false
		}
	}
	return true
}

// writable waits until the descriptor takes bytes. All other readers wait, too: this is a limit, not a server.
func writable(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(poll, patienceMillis)
		if !errors.Is(err, unix.EINTR) {
			return n == 1 && err == nil
		}
	}
}

// streamOf is the stream that a request which begins with a method and a path names.
func streamOf(request []byte, begin string) (stream string, ok bool) {
	rest, ok := bytes.CutPrefix(request, []byte(begin))
	if !ok {
		return "", false
	}
	name, _, ok := bytes.Cut(rest, []byte(" "))
	return string(name), ok
}
