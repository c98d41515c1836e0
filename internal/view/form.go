package view

import (
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Representation is the form of a response.
type Representation int

const (
	// SSE is typed frames of text/event-stream.
	SSE Representation = iota
	// Plain is text/event-stream with nothing but data, for clients that read no event types.
	Plain
	// NDJSON is a JSON object {"id","event","data"} a line, for every frame.
	NDJSON
	// JSON is the stream that grpc-gateway writes: a JSON object {"result"} or {"error"} a line.
	JSON
	// Raw is the bytes of google.api.HttpBody messages, one after another.
	Raw
)

// ContentType is the Content-Type of responses in this form; empty for SSE and Plain, whose type delivery knows, and for
// Raw, whose type the first event says.
func (r Representation) ContentType() string {
	switch r {
	case NDJSON:
		return "application/x-ndjson"
	case JSON:
		return "application/json"
	default:
		return ""
	}
}

// form appends what there is to say in one representation. The errors are nil where the response goes on, io.EOF where
// nothing follows, and any other where the response must be cut.
type form interface {
	contentType() string
	// event appends an event of the application. data is its data where it is another than the frame's, else nil.
	event(dst []byte, f *sse.Frame, data []byte) ([]byte, error)
	// own appends what becomes of a frame of the bridge's own.
	own(dst []byte, f *sse.Frame, k kind) ([]byte, error)
	// bookmark says that the reader has everything up to id.
	bookmark(dst, id []byte) []byte
	// beat appends what shows that the connection lives.
	beat(dst []byte) []byte
	// leave appends what is said where the response ends and the stream does not, for a reason of stream.busy, or none.
	leave(dst []byte, reason string) ([]byte, error)
}

func newForm(o Options, endID func(event.Position) event.ID) form {
	switch o.Representation {
	case Plain:
		return &plainForm{done: o.Done, endID: endID}
	case NDJSON:
		return ndjsonForm{}
	case JSON:
		return jsonForm{}
	case Raw:
		return &rawForm{}
	default:
		return sseForm{}
	}
}

// dataOr is data, or the frame's own where it is nil.
func dataOr(data []byte, f *sse.Frame) []byte {
	if data != nil {
		return data
	}
	return f.Data()
}

// busyRetry draws when a client comes back whose connection the bridge ends. While it shuts down that is soon, since the
// stream goes on elsewhere, but not for all of them at once.
func busyRetry(reason string) time.Duration {
	if reason == "drain" {
		return time.Second + rand.N(4*time.Second)
	}
	return 5*time.Second + rand.N(55*time.Second)
}

// hole is the status of a response that cannot go on because something is missing from it. f is the frame that says so:
// stream.reset or stream.undecodable.
func hole(f *sse.Frame, k kind) outcome.Outcome {
	if k == kindUndecodable {
		return outcome.New(codes.DataLoss, "a message of the backend's cannot be shown as JSON: %s", text(f.Data(), "reason"))
	}
	switch reason := text(f.Data(), "reason"); reason {
	case "upstream_restarted":
		return outcome.New(codes.DataLoss, "the connection to the backend was lost, and events may be missing: ask again")
	case "expired":
		return outcome.New(codes.DataLoss, "events are missing that are no longer kept: ask again")
	default:
		return outcome.New(codes.DataLoss, "what follows does not continue what came before (%s): ask again", reason)
	}
}

// left is the status of a response that ended before its stream.
func left(reason string) outcome.Outcome {
	switch reason {
	case "":
		return outcome.New(codes.Unavailable, "this response has ended and the stream has not: ask again")
	case "drain":
		return outcome.New(codes.Unavailable, "the bridge is shutting down: ask again")
	default:
		return outcome.New(codes.Unavailable, "the bridge ended this response (%s): ask again later", reason)
	}
}

// positionOf is the position that an id begins with.
func positionOf(id []byte) event.Position {
	n := 0
	for n < len(id) && '0' <= id[n] && id[n] <= '9' {
		n++
	}
	p, _ := strconv.ParseUint(string(id[:n]), 10, 64) // 0 where there is none
	return event.Position(p)
}
