//go:build !linux

package delivery

import "net"

// newPoller is nil where connections are served by a goroutine each.
var newPoller func() (poller, error)

func hasDescriptor(net.Conn) bool { return false }

func detach(net.Conn) (fd int, release func(), ok bool) { return 0, nil, false }
