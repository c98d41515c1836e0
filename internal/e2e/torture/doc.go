// Package torture reads hash-chained streams through networks that break, from the built binary in a process of its
// own, and checks what the readers got against the bridge's promises: nothing lost, nothing twice, nothing out of order,
// every byte as it was sent, one end, and then 204.
//
// TestTorture, TestTortureOverTLS and TestTortureWithoutMemory cut the network under calls that each reader has for
// itself. TestTortureShared has many readers of shared streams, too, while the bridge and its backend crash, restart and
// stand still: with a backend cursor nothing may even be reset. Its readers ask in different ways: over HTTP/1.1 and
// HTTP/2, with compression, for parts of the stream. The tests of planted faults show that these can fail.
// TestPriceFeed, TestLateJoiners and TestBacklog each show one thing that users rely on at its full size.
//
// What happens is drawn from a seed, which a run prints. For a longer run, or the same one again:
//
//	go test -race ./internal/e2e/torture -run 'Torture$' -v -seed 7 -clients 1000 -events 5000
//	go test -race ./internal/e2e/torture -run TortureShared -v -timeout 2h -seed 7 -readers 130 -channels 13 -faults 1000
//	go test -race ./internal/e2e/torture -run PriceFeed -v -browsers 1000 -outage 60
//	go test -race ./internal/e2e/torture -run Backlog -v -backlog 10000000
//
// TORTURE_SEED, TORTURE_CLIENTS and so on do the same where flags cannot be given. The seed decides each client's
// requests, how each of its connections ends, and which faults there are, in order; how fast things go is the machine's.
package torture
