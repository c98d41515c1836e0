//go:build !linux

package delivery

import "net"

// thisSystem has no poller: connections are served by a goroutine each.
var thisSystem = system{hasDescriptor: func(net.Conn) bool { return false }}
