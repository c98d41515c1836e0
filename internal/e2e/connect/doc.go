// Package connect measures what a connect costs: from accept to the first bytes of a stream, over loopback, through the
// whole bridge, and what an open connection that is idle keeps.
//
//	go test ./internal/e2e/connect -run '^$' -bench .
//
// The clients are bare sockets on one thread. cpu-ns/connect is what all other threads of the process used.
package connect
