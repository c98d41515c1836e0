package feed

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// The bridge's own events.
var (
	nameOpen     = sse.MustEventName("stream.open")
	nameReset    = sse.MustEventName("stream.reset")
	nameBookmark = sse.MustEventName("stream.bookmark")
	nameWaiting  = sse.MustEventName("stream.waiting")
	nameBusy     = sse.MustEventName("stream.busy")
	nameEnd      = sse.MustEventName("stream.end")
)

// Reasons of stream.reset and of a stream.open that did not resume.
const (
	reasonExpired           = "expired"
	reasonUnknownCursor     = "unknown_cursor"
	reasonUpstreamRestarted = "upstream_restarted"
)

// opening is what stream.open says, and what follows it in the same write.
type opening struct {
	id      event.ID // where reading begins
	resumed bool
	reason  string         // why a presented cursor was not resumed
	oldest  event.Position // of the oldest event kept; 0: none
	start   schema.Start
	after   []byte // finished frames
}

// appendOpening appends the first frame of a response.
func appendOpening(dst []byte, retry time.Duration, o *opening) []byte {
	var room [128]byte // as much as there can be
	var id [event.MaxLen]byte
	data := strconv.AppendBool(append(room[:0], `{"resumed":`...), o.resumed)
	if o.reason != "" {
		data = append(append(append(data, `,"reason":"`...), o.reason...), '"')
	}
	if o.oldest != 0 {
		data = strconv.AppendUint(append(data, `,"oldest":`...), uint64(o.oldest), 10)
	}
	data = append(append(append(data, `,"start":"`...), o.start.String()...), `"}`...)
	return sse.AppendOpening(dst, retry, o.id.Append(id[:0]), nameOpen, data)
}

// appendReset appends stream.reset; missed 0 is not known.
func appendReset(dst []byte, id event.ID, reason string, missed uint64) []byte {
	data := append([]byte(`{"reason":"`), reason...)
	data = append(data, '"')
	if missed != 0 {
		data = strconv.AppendUint(append(data, `,"missed":`...), missed, 10)
	}
	return sse.AppendFrame(dst, id.Append(nil), nameReset, append(data, '}'))
}

// appendBookmark appends stream.bookmark: the client has everything up to id.
func appendBookmark(dst []byte, id event.ID) []byte {
	return sse.AppendFrame(dst, id.Append(nil), nameBookmark, []byte("{}"))
}

func appendWaiting(dst []byte, o *outage) []byte {
	data := strconv.AppendInt([]byte(`{"code":`), int64(o.Code), 10)
	data = strconv.AppendInt(append(data, `,"attempt":`...), int64(o.Attempt), 10)
	data = strconv.AppendInt(append(data, `,"retryInMs":`...), o.RetryIn.Milliseconds(), 10)
	return sse.AppendFrame(dst, nil, nameWaiting, append(data, '}'))
}

// AppendBusy appends stream.busy, after which the connection ends. reason is one of those in the contract: overload,
// drain, starting, limit.
func AppendBusy(dst []byte, retry time.Duration, reason string) []byte {
	return sse.AppendRetryFrame(dst, retry, nameBusy, []byte(`{"reason":"`+reason+`"}`))
}

// Delays after which a client that was turned away comes back, drawn for each.
const (
	minBusyRetry = 5 * time.Second
	maxBusyRetry = 60 * time.Second
)

// BusyRetry draws when a client comes back that is told stream.busy with this reason. One whose bridge is shutting down
// comes soon, since its stream goes on elsewhere, but not all of them at once.
func BusyRetry(reason string) time.Duration {
	if reason == "drain" {
		return time.Second + rand.N(4*time.Second)
	}
	return minBusyRetry + rand.N(maxBusyRetry-minBusyRetry)
}

func appendEnd(dst []byte, id event.ID, o outcome.Outcome) []byte {
	return sse.AppendFrame(dst, id.Append(nil), nameEnd, o.AppendStatus(nil))
}
