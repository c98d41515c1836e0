package delivery

import (
	"net"
	"time"
)

// sendBuffer bounds what the kernel holds for a client that does not read: what was written and not received must stay
// inside the sent part of the log. Linux doubles the number, to 128 KiB.
const sendBuffer = 64 << 10

// userTimeout is how long sent data may stay unacknowledged before the kernel gives the connection up.
const userTimeout = 20 * time.Second

// Listener wraps ln so that accepted TCP connections have bounded send buffers and notice dead clients.
func Listener(ln net.Listener) net.Listener { return listener{ln} }

type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Without these the connection still works: nothing to do about an error.
		_ = tcp.SetWriteBuffer(sendBuffer)
		_ = setUserTimeout(tcp, userTimeout)
	}
	return conn, nil
}
