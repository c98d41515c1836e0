// Package torture reads hash-chained streams through a network that breaks, from the built binary in a process of its
// own, and checks what the readers got against the bridge's promises: nothing lost, nothing twice, nothing out of order,
// every byte as it was sent, one end, and then 204.
//
// What the network does is drawn from a seed, which a run prints. For a longer run, or the same one again:
//
//	go test -race ./internal/e2e/torture -run Torture -v -seed 7 -clients 1000 -events 5000
//
// TORTURE_SEED, TORTURE_CLIENTS and TORTURE_EVENTS do the same where flags cannot be given. The seed decides each
// client's requests and how each of its connections ends, in order; how fast things go is the machine's.
package torture
