package upstream

import (
	"context"
	"strings"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of <netinet/tcp.h>, which package syscall lacks.
const tcpUserTimeout = 0x12

// control bounds how long bytes may stay unacknowledged: Linux sends no keepalive probes while some are, and resends
// them for a quarter of an hour, so a call to a host that has just died would hang that long.
func control(_ context.Context, network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		limit := keepaliveIdle + keepaliveInterval*keepaliveCount
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
