package edge

import (
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// minRetry is how soon a client that was turned away may come back: else many would do nothing else.
const minRetry = 500 * time.Millisecond

// busy turns a request for a stream away for now. To EventSource that must not be a status: browsers take every other
// than 200 for final.
func (e *Edge) busy(q *request, reason string) {
	retry := feed.BusyRetry(reason)
	if q.own.cursor != "" && q.method.Stream.Linger > 0 {
		// Who resumes must be back before the call is given up, where that takes longer than a moment.
		retry = min(retry, max(q.method.Stream.Linger/3, minRetry))
	}
	switch q.look.Representation {
	case view.SSE:
		sendBusy(q.w, retry, reason)
	case view.Plain:
		// The client has gone where it cannot be written to.
		_ = delivery.Once(q.w, sse.AppendPreamble(nil, retry, nil))
	default:
		outcome.Problem{
			Status: http.StatusServiceUnavailable, Code: codes.Unavailable, RetryAfter: retry,
			Detail: "there is no room for another stream now (" + reason + "); try again later",
		}.Write(q.w)
	}
}

// starting answers a request for a path that may get a route once every schema is loaded.
func starting(w http.ResponseWriter, r *http.Request) {
	retry := time.Second + rand.N(2*time.Second)
	if asksForSSE(r) {
		sendBusy(w, retry, "starting")
		return
	}
	outcome.Problem{
		Status: http.StatusServiceUnavailable, Code: codes.Unavailable, RetryAfter: retry,
		Detail: "the bridge is starting and has not read the schema of every backend yet",
	}.Write(w)
}

func sendBusy(w http.ResponseWriter, retry time.Duration, reason string) {
	// The client has gone where it cannot be written to.
	_ = delivery.Once(w, feed.AppendBusy([]byte(":\n"), retry, reason))
}
