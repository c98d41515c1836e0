package view

import (
	"bytes"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// kind is what a frame is for.
type kind int

const (
	kindEvent       kind = iota // of the application
	kindOpen                    // stream.open
	kindReset                   // stream.reset
	kindBookmark                // stream.bookmark
	kindWaiting                 // stream.waiting
	kindUndecodable             // stream.undecodable
	kindBusy                    // stream.busy
	kindEnd                     // stream.end
	kindOther                   // a comment, or an event of the bridge's that is not known here
)

const ownPrefix = "stream."

func kindOf(f *sse.Frame) kind {
	if !f.HasData() {
		return kindOther
	}
	if !bytes.HasPrefix(f.Event, []byte(ownPrefix)) {
		return kindEvent
	}
	switch string(f.Event[len(ownPrefix):]) {
	case "open":
		return kindOpen
	case "reset":
		return kindReset
	case "bookmark":
		return kindBookmark
	case "waiting":
		return kindWaiting
	case "undecodable":
		return kindUndecodable
	case "busy":
		return kindBusy
	case "end":
		return kindEnd
	default:
		return kindOther
	}
}

// record reports whether a frame of the kind is something that a poll waits for: a record of the log, or the news that
// records are missing.
func (k kind) record() bool {
	return k == kindEvent || k == kindUndecodable || k == kindReset || k == kindEnd
}

// filter holds the event types that are shown; nil shows all.
type filter map[string]struct{}

func newFilter(types []string) filter {
	if len(types) == 0 {
		return nil
	}
	f := make(filter, len(types))
	for _, name := range types {
		f[name] = struct{}{}
	}
	return f
}

func (f filter) hides(name []byte) bool {
	if f == nil {
		return false
	}
	_, shown := f[string(name)]
	return !shown
}
