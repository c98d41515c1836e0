package delivery

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen listens on a TCP address. The connections have bounded send buffers and notice clients that are dead, or take
// nothing for longer than the write timeout. They inherit that from the listening socket: set for each, it would be six
// system calls in every connect.
func Listen(ctx context.Context, address string, writeTimeout time.Duration) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, conn syscall.RawConn) error {
		return setListening(conn, writeTimeout)
	}}
	config.SetMultipathTCP(false) // its sockets take none of TCP's options
	ln, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newListener(ln.(*net.TCPListener))
}

// setListening sets what connections inherit. Without it they still work: nothing to do about an error.
func setListening(conn syscall.RawConn, writeTimeout time.Duration) error {
	return conn.Control(func(fd uintptr) {
		seconds := func(d time.Duration) int { return int(d.Seconds()) }
		for _, o := range []struct{ level, option, value int }{
			{unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(max(writeTimeout, minUserTimeout).Milliseconds())}, // RFC 5482; counts for windows closed by the client as well
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(keepAlive)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(keepAlive)},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes},
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		} {
			_ = unix.SetsockoptInt(int(fd), o.level, o.option, o.value)
		}
	})
}
