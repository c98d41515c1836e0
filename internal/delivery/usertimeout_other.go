//go:build !linux

package delivery

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT. Write deadlines and TCP keepalive find dead clients.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
