package delivery_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// TestAcceptedConnections: what is set on the listening socket, each connection has.
func TestAcceptedConnections(t *testing.T) {
	t.Parallel()
	for writeTimeout, userTimeout := range map[time.Duration]time.Duration{time.Second: 20 * time.Second, time.Minute: time.Minute} {
		server := accepted(t, writeTimeout)
		for name, o := range map[string]struct{ level, option, want int }{
			"SO_SNDBUF":        {unix.SOL_SOCKET, unix.SO_SNDBUF, 128 << 10},
			"TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds())},
			"SO_KEEPALIVE":     {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			"TCP_KEEPIDLE":     {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			"TCP_KEEPINTVL":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			"TCP_KEEPCNT":      {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
			"TCP_NODELAY":      {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		} {
			var got int
			err := delivery.Control(server, func(fd int) (err error) {
				got, err = unix.GetsockoptInt(fd, o.level, o.option)
				return err
			})
			if err != nil || got != o.want {
				t.Errorf("%s is %d, %v, want %d", name, got, err, o.want)
			}
		}
	}
}

// accepted is a connection that somebody has made to a listener.
func accepted(t *testing.T, writeTimeout time.Duration) net.Conn {
	t.Helper()
	ln, err := delivery.Listen(t.Context(), "127.0.0.1:0", writeTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return server
}
