package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// serveStream answers a request for a server-streaming method.
func (e *Edge) serveStream(q *request) {
	if !accepts(q.r, typeSSE) {
		outcome.Problem{
			Status: http.StatusNotAcceptable,
			Detail: fmt.Sprintf("a stream is served as %s, which Accept %q does not take", typeSSE, q.r.Header.Get("Accept")),
		}.Write(q.w)
		return
	}
	if q.head {
		delivery.Head(q.w, e.Delivery)
		return
	}
	message, ok := q.bind(e.RequestBytes)
	if !ok {
		return
	}
	lease, err := e.Connections.Acquire(access.Claim{Resuming: q.own.cursor != ""})
	if err != nil {
		e.busy(q, "overload")
		return
	}
	defer lease.Release()

	subscription, err := e.Feed.Subscribe(feed.Request{
		Method:    q.method,
		Caller:    e.Upstreams[q.method.Upstream],
		Encoder:   e.encoder(q.route),
		Wire:      message.Wire,
		Canonical: message.Canonical,
		Metadata:  e.Forwarder.Metadata(q.r.Header),
		Principal: e.Principals.Of(q.r),
		Cursor:    q.own.cursor,
		Key:       q.own.key,
		Restart:   q.method.Restarts(q.binding.Verb),
	})
	if err != nil {
		e.notSubscribed(q, err)
		return
	}
	defer subscription.Close()
	if !e.awaitOpen(q.r.Context(), subscription) {
		return
	}
	// A reader that comes back to a call has had a head: it is told of the end inside the stream.
	if end, failed := subscription.Failed(); failed && (subscription.Fresh || q.own.cursor == "") {
		subscription.Forget()
		if end.Class != outcome.Permanent {
			e.busy(q, "overload")
			return
		}
		end.Problem().Write(q.w)
		return
	}
	if err := delivery.Serve(q.w, q.r, view.New(subscription, view.Options{}), e.Delivery); err != nil {
		e.Logger.Debug("connection ended", "method", q.method.Name, "cause", err)
	}
}

// encoder finds the encoder by the newest schema: the backend may have another one than when the request came. It keeps
// the route alone, since the call may outlive the request by far.
func (e *Edge) encoder(to *route) func() feed.Encoder {
	return func() feed.Encoder {
		if newest := e.router.Load().encoders[to.method.Name]; newest != nil {
			return newest
		}
		return to.encoder
	}
}

// notSubscribed answers a request that no stream could be found or started for.
func (e *Edge) notSubscribed(q *request, err error) {
	busy, isBusy := errors.AsType[*feed.BusyError](err)
	switch {
	case errors.Is(err, feed.ErrEnded):
		q.w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, feed.ErrKeyConflict):
		outcome.Problem{
			Status: http.StatusUnprocessableEntity, Code: codes.FailedPrecondition,
			Detail: "sse.call (or Idempotency-Key) names a call that was made with another request; draw a new one for each call",
		}.Write(q.w)
	case isBusy:
		e.busy(q, busy.Reason)
	default:
		outcome.Of(err).Problem().Write(q.w)
	}
}

// awaitOpen holds the response back until the backend shows a sign of life or the open window ends, so that an early
// failure can be an HTTP status. It reports false where the client has left meanwhile.
func (e *Edge) awaitOpen(ctx context.Context, s *feed.Subscription) bool {
	if !s.Fresh {
		return true
	}
	if e.OpenWindow <= 0 {
		return ctx.Err() == nil
	}
	window := time.NewTimer(e.OpenWindow)
	defer window.Stop()
	select {
	case <-s.Opened():
	case <-window.C:
	case <-ctx.Done():
		return false
	}
	return true
}
