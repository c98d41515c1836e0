// Package ingest measures what it costs to take a backend's messages in: from a gRPC server in a process of its own,
// over loopback, through the whole of it (upstream, feed, transcode, eventlog), beside what each part costs alone.
//
//	go test ./internal/e2e/ingest -run '^$' -bench Ingest -cpu 1
//
// ns/msg is the clock's; cpu-ns/msg is what this process used of its cores, so without the server. -cpu 1 is the case of
// one core.
package ingest
