package delivery

import "time"

// sendBuffer bounds what the kernel holds for a client that does not read: what was written and not received must stay
// inside the sent part of the log. Linux doubles the number, to 128 KiB.
const sendBuffer = 64 << 10

// minUserTimeout is how long sent data may stay unacknowledged at least before the kernel gives the connection up: a packet
// that was lost and sent again some times does not end it.
const minUserTimeout = 20 * time.Second

// keepAlive is the pause before a quiet connection is probed, and between two probes; after so many without an answer it
// is given up. It is what Go sets by default.
const (
	keepAlive       = 15 * time.Second
	keepAliveProbes = 9
)
