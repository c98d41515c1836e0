//go:build !linux

package delivery

import (
	"context"
	"net"
	"time"
)

// Listen listens on a TCP address. The connections have bounded send buffers. Write deadlines and TCP keepalive find dead
// clients: only Linux has TCP_USER_TIMEOUT.
func Listen(ctx context.Context, address string, _ time.Duration) (net.Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAliveProbes,
	}}
	ln, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return listener{ln}, nil
}

type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // without it the connection still works
	}
	return conn, err
}
