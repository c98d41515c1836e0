// Package crowd has ten thousand clients read from the built binary, each on a socket of its own. The bridge is a process
// of its own, too: each of the two may have 20,000 open files on a usual machine.
//
// Clients are bare sockets that cut their connections themselves, in the middle of heads and frames, by a reset or an
// orderly end, and come back with their cursors. What they read is a hash chain, and each holds every frame against the
// chain and its ids against one another: nothing lost, nothing twice, nothing out of order, nothing of another stream.
//
// TestCrowd is that. TestStalledReaders has some of them stop reading, and looks at the bridge's memory. The tests of
// descriptors take the bridge's file descriptors away. TestPlanted shows what a reader finds.
//
// `make crowd` runs them in full. With the race detector, in the bridge, too, there are fewer clients. Where the limit of
// open files is low there are fewer, and the test says so. For another run:
//
//	go test ./internal/e2e/crowd -run TestCrowd$ -v -seed 7 -clients 15000 -events 1000
//
// CROWD_SEED, CROWD_CLIENTS and CROWD_EVENTS do the same where flags cannot be given.
package crowd
