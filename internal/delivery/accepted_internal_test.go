//go:build linux

package delivery

import (
	"errors"
	"net"
	"os"
)

// Control calls do with the descriptor of a connection that a listener of Listen's has accepted.
func Control(conn net.Conn, do func(fd int) error) error { return conn.(*socket).control(do) }

// Plain makes such a connection one of net's.
func Plain(conn net.Conn) (net.Conn, error) {
	fd, ok := conn.(*socket).giveUp()
	if !ok {
		return nil, errors.New("there is no descriptor")
	}
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	return net.FileConn(file)
}
