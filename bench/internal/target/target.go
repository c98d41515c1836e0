// Package target is what can be measured: a program that delivers streams over HTTP, started as its own process.
package target

import (
	"bytes"
	"context"
	"io"
)

// Target is one program under test.
type Target interface {
	// Name is the same in every run: "grpc-sse", "nchan", "grpc-gateway", "go-channels", "go-ring", "kernel".
	Name() string
	// Start starts the program. When it returns nil, the program serves.
	Start(ctx context.Context) error
	// Stop ends what Start started, and waits for it. It may be called after a Start that failed, and twice.
	Stop() error
	// PIDs are the processes whose CPU and memory count.
	PIDs() []int
	// Addr is where clients connect, HOST:PORT.
	Addr() string
	// Request is what one subscriber sends, head and body, in HTTP/1.1. from is Live or First. The response's head must
	// arrive when the subscriber is subscribed, without waiting for an event: then what is published reaches it.
	Request(stream, from string) []byte
	// Publish sends one event to everybody who reads the stream and returns when the program has taken it. It is safe for
	// concurrent use; events of one stream must not be published concurrently where their order matters.
	Publish(ctx context.Context, stream string, payload []byte) error
	// Can says whether the program can do what a scenario needs.
	Can(c Capability) bool
}

// Ahead is a target that events can be sent to before it has taken those before them, as a backend does that does not wait
// for answers. They keep their order. For others it is Publish.
type Ahead interface {
	// PublishAhead sends one event and waits only when too many were not taken. An error may be that of an earlier event.
	PublishAhead(ctx context.Context, stream string, payload []byte) error
}

// Where a subscriber begins.
const (
	Live  = ""      // with the next event
	First = "first" // with the oldest event that is kept
	// Own is Live, but the subscriber reads a call of its own to the backend (PerCall).
	Own = "own"
)

// Capability is what a scenario needs of a target.
type Capability string

// What targets can do.
const (
	Fanout      Capability = "fan-out"     // one event to many readers
	CatchUp     Capability = "catch-up"    // readers that begin with First
	PerCall     Capability = "per-call"    // readers that begin with Own
	HTTP2       Capability = "http/2"      // with and, by prior knowledge, without TLS
	TLS         Capability = "tls"         // Options.TLS
	Compression Capability = "compression" // Options.Compression
	NDJSON      Capability = "ndjson"      // Accept: application/x-ndjson
	SlowReaders Capability = "slow"        // readers that stop to read hold nobody up
	Resume      Capability = "resume"      // Last-Event-ID
)

// Options change how a target is started. Those that cannot do what an option says ignore it, and do not say they can.
type Options struct {
	TLS         bool     // serve TLS, with any certificate
	Compression []string // offer these encodings
	Quiet       bool     // send as few heartbeats as can be
	Streams     int      // about how many streams are published to; 0: one
}

// Place is where a target runs.
type Place struct {
	Repo  string    // the root of the project's clone
	Dir   string    // a folder of the target's own, empty
	Log   io.Writer // what programs say
	Build *Builder  // builds programs of the project
}

// Maker makes targets of one kind.
type Maker struct {
	Name string
	// Missing says why the target cannot be measured here ("nginx is not installed: apt-get install …"), "" when it can.
	// nil: it always can.
	Missing func() string
	New     func(Place, Options) Target
}

// WithHeader returns the request with a header set, in place of one of that name.
func WithHeader(request []byte, name, value string) []byte {
	head, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	var out []byte
	for i, line := range bytes.Split(head, []byte("\r\n")) {
		key, _, _ := bytes.Cut(line, []byte(":"))
		if i > 0 && bytes.EqualFold(key, []byte(name)) {
			continue
		}
		out = append(append(out, line...), "\r\n"...)
	}
	out = append(out, name+": "+value+"\r\n\r\n"...)
	return append(out, body...)
}
