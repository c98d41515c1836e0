package transcode

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// Why a message cannot be rendered. The texts are part of the contract: they name no internals and do not change.
const (
	ReasonMalformed  = string(render.Malformed)  // not the wire format of its type
	ReasonUTF8       = string(render.UTF8)       // a string holds other bytes
	ReasonUnknownAny = string(render.UnknownAny) // an Any of a type that the schema does not have
	ReasonTooDeep    = string(render.TooDeep)    // more than 1,000 messages, or 16 Any, in each other
	ReasonNoJSON     = string(render.NoJSON)     // a Timestamp out of range, for example
)

// UndecodableError is a message of a backend that cannot be rendered.
type UndecodableError struct {
	Type   protoreflect.FullName // the response message's
	Reason string                // one of the Reason constants
	Size   int                   // of the message on the wire, in bytes
	cause  error
}

// Error says what could not be rendered and why, without internals: it may be shown to clients.
func (e *UndecodableError) Error() string {
	return fmt.Sprintf("the backend's %s (%d bytes) cannot be rendered as JSON: %s", e.Type, e.Size, e.Reason)
}

// Unwrap is the original error, for logs.
func (e *UndecodableError) Unwrap() error { return e.cause }

// undecodableName is the event type of what stands in for a message that cannot be rendered.
var undecodableName = sse.MustEventName("stream.undecodable")

func appendUndecodable(dst []byte, e *UndecodableError) []byte {
	dst = append(dst, `{"type":`...)
	dst = appendQuoted(dst, string(e.Type))
	dst = append(dst, `,"reason":`...)
	dst = appendQuoted(dst, e.Reason)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, int64(e.Size), 10)
	return append(dst, '}')
}
