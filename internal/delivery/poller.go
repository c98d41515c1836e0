package delivery

import (
	"errors"
	"net"
)

// system is what taking connections over needs of the operating system; tests have one of their own.
type system struct {
	// newPoller makes a shard's poller; nil where there is none.
	newPoller func() (poller, error)
	// hasDescriptor reports whether detach can be tried.
	hasDescriptor func(net.Conn) bool
	// detach takes a connection's descriptor away from it. release, which may be nil, must be called when the descriptor has
	// been closed. It is not ok where no descriptor is left: then the connection is as it was.
	detach func(net.Conn) (fd int, release func(), ok bool)
}

// token names a connection to a poller: descriptors are used again, and an event of one that was closed must not be taken
// for one of another.
type token struct {
	fd         int32
	generation int32
}

// readiness is what a poller has to tell.
type readiness struct {
	token
	room bool // the client takes bytes again
	gone bool // the client has left, or the connection is broken
}

// errPollerStopped: stop was called.
var errPollerStopped = errors.New("delivery: the poller was stopped")

// poller is the sockets of one shard: nothing that it does waits, but wait.
type poller interface {
	// add tells of t from now on when the client leaves.
	add(t token) error
	// awaitRoom tells, from now on, when t takes bytes again after it took less than was to be written.
	awaitRoom(t token) error
	// write writes what the client takes at once: n is 0 without an error where that is nothing.
	write(fd int, first, second []byte) (n int, err error)
	// close closes the connection, cleanly or with a reset.
	close(fd int, cleanly bool)
	// wait fills events with at least one, or returns errPollerStopped.
	wait(events []readiness) (n int, err error)
	// stop ends wait for good. The poller is freed when wait has returned.
	stop()
}
