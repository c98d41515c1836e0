package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// serveStream answers a request for a server-streaming method. What it takes to understand the request is off the stack
// when the stream begins: a stack that must grow costs more than anything else here.
func (e *Edge) serveStream(q *request) {
	wish := e.understand(q)
	if wish == nil {
		return
	}
	to := e.admit(q, wish)
	if to == nil {
		return
	}
	defer to.returned()
	if e.subscribe(q, wish, to) {
		e.deliver(q, to)
	}
}

// understand reads the request. It answers by itself and returns nil where there is no stream to serve.
func (e *Edge) understand(q *request) *feed.Request {
	as, ok := negotiate(q.r, q.shown())
	if !ok {
		outcome.Problem{
			Status: http.StatusNotAcceptable,
			Detail: fmt.Sprintf("a stream is served as %s, %s or %s, none of which Accept %q takes", typeSSE, typeNDJSON, typeJSON,
				q.r.Header.Get("Accept")),
		}.Write(q.w)
		return nil
	}
	if q.head {
		o := delivery.Options{ContentType: as.ContentType(), Encoding: e.encoding(q, as)}
		if as == view.Raw {
			o.TypeOf = func() string { return "" } // only the backend knows
		}
		delivery.Head(q.w, o)
		return nil
	}
	message, ok := q.bind(e.RequestBytes)
	if !ok {
		return nil
	}
	var err error
	if q.look, err = q.wantedLook(as); err != nil {
		q.refuse(http.StatusBadRequest, err)
		return nil
	}
	return e.wish(q, message)
}

// shown is the type of what a reader is shown of a stream's messages, where all of them have the same.
func (q *request) shown() protoreflect.FullName {
	if q.method.Stream.CaseValue {
		return q.method.Output.FullName()
	}
	return q.answer()
}

// admit takes a place for the stream. It answers by itself and returns nil where there is none.
func (e *Edge) admit(q *request, wish *feed.Request) *reader {
	lease, err := e.Connections.Acquire(access.Claim{
		IP: e.Peers.Of(q.r), Principal: wish.Principal, Resuming: wish.Cursor != "" || wish.ClientID != "",
		Known: func() bool { return e.Feed.Knows(*wish) },
	})
	if err != nil {
		e.notAdmitted(q, err)
		return nil
	}
	return &reader{Lease: lease, method: q.method.Name, logger: e.Logger}
}

// wantedLook is how the client wants to see the stream.
func (q *request) wantedLook(as view.Representation) (view.Options, error) {
	m := q.method
	if as == view.SSE && (q.own.frames == "plain" || q.own.frames == "" && m.Stream.Plain) {
		as = view.Plain
	}
	o := view.Options{
		Representation: as, Events: q.own.events, Poll: q.own.wait > 0, Done: m.Stream.Done, Retention: m.Stream.Retention,
	}
	if !m.Stream.CaseValue {
		o.ResponseField = q.binding.ResponseField
	}
	withoutIDs := as == view.JSON || as == view.Raw
	switch {
	case withoutIDs && o.Poll:
		return o, fmt.Errorf("sse.wait needs events with ids: accept %s or %s", typeSSE, typeNDJSON)
	case withoutIDs && q.own.client != "":
		return o, fmt.Errorf("sse.client_id keeps ids, and there are none: accept %s or %s", typeSSE, typeNDJSON)
	case withoutIDs && q.own.cursor != "":
		return o, fmt.Errorf("there is no resuming without ids: accept %s or %s, or leave the cursor out", typeSSE, typeNDJSON)
	case q.own.fields == "":
		return o, nil
	case as == view.Raw:
		return o, errors.New("sse.fields needs JSON: accept it, or leave the parameter out")
	}
	var err error
	if o.Fields, err = view.NewFields(m, q.own.fields); err != nil {
		return o, err
	}
	return o, o.Fields.Beside(o.ResponseField)
}

// wish is what the feed is asked for. It answers by itself and returns nil where that cannot be.
func (e *Edge) wish(q *request, message transcode.Request) *feed.Request {
	wish := &feed.Request{
		Method:    q.method,
		Caller:    e.Upstreams[q.method.Upstream],
		Encoder:   q.newest,
		Fields:    q.fields,
		Wire:      message.Wire,
		Canonical: message.Canonical,
		Principal: e.Principals.Of(q.r),
		Cursor:    q.own.cursor,
		Key:       q.own.key,
		ClientID:  q.own.client,
		Restart:   q.method.Restarts(q.binding.Verb),
		Strict:    q.look.Representation == view.Plain,
	}
	if wish.ClientID != "" && wish.Principal.Anonymous() && len(wish.ClientID) < minAnonymousName {
		q.refuse(http.StatusBadRequest, fmt.Errorf("sse.client_id needs %d characters or more where the request is anonymous: "+
			"others could guess a shorter one", minAnonymousName))
		return nil
	}
	switch q.method.Stream.Share {
	case schema.ShareNone:
		wish.Metadata = e.Forwarder.Metadata(q.r.Header)
	case schema.SharePublic:
		wish.StreamKey = e.publicKey(q, message)
	case schema.SharePrincipal:
		if wish.Principal.Anonymous() {
			outcome.New(codes.Unauthenticated, "%s is shared by principal, and the request names none", q.method.Name).
				Problem().Write(q.w)
			return nil
		}
		wish.Metadata = access.SharedMetadata(e.Forwarder.Metadata(q.r.Header))
		wish.StreamKey = e.Keyer.Key(string(q.method.Name), q.method.Stream.Fingerprint, message.Canonical, &wish.Principal, wish.Metadata)
	}
	return wish
}

// publicKey is the key of a call that everybody may share.
func (e *Edge) publicKey(q *request, message transcode.Request) access.StreamKey {
	if known := q.known.publicKey.Load(); q.bare && known != nil {
		return *known
	}
	key := e.Keyer.Key(string(q.method.Name), q.method.Stream.Fingerprint, message.Canonical, nil, nil)
	if q.bare {
		q.known.publicKey.Store(&key)
	}
	return key
}

// subscribe makes the reader's subscription. It answers by itself and returns false where there is nothing to deliver.
func (e *Edge) subscribe(q *request, wish *feed.Request, to *reader) bool {
	subscription, err := e.Feed.Subscribe(*wish)
	if err != nil {
		e.notSubscribed(q, err)
		return false
	}
	to.subscription = subscription
	if !e.awaitOpen(q.r.Context(), subscription) {
		panic(http.ErrAbortHandler) // or net/http says 200, and that was all, to a client that may still read
	}
	// A reader that comes back to a call has had a head: it is told of the end inside the stream.
	if end, failed := subscription.Failed(); failed && (subscription.Fresh || wish.Cursor == "") {
		subscription.Forget()
		if end.Class != outcome.Permanent {
			e.busy(q, "overload")
			return false
		}
		end.Problem().Write(q.w)
		return false
	}
	if q.look.Representation == view.Plain && q.look.Done == "" && wish.Cursor != "" && subscription.Finished(q.look.Shows) {
		q.w.WriteHeader(http.StatusNoContent) // there is no last frame whose id would say so
		return false
	}
	return true
}

// deliver sends the response.
func (e *Edge) deliver(q *request, to *reader) {
	look := &q.look
	o := delivery.Options{
		Owner: to, ContentType: look.Representation.ContentType(), Encoding: e.encoding(q, look.Representation), Wait: q.own.wait,
	}
	var seen delivery.Source = view.Direct{Stream: to.subscription}
	if !look.IsDirect() {
		v := view.New(to.subscription, *look)
		if seen = v; look.Representation == view.Raw {
			o.TypeOf = v.ContentType
		}
	}
	to.served = true
	e.Delivery.Serve(q.w, q.r, seen, o)
}

// encoding is the content coding of a stream; empty for none.
func (e *Edge) encoding(q *request, as view.Representation) string {
	wanted := q.r.Header["Accept-Encoding"]
	if len(wanted) == 0 || len(e.Compression) == 0 || as == view.Raw {
		return ""
	}
	return delivery.Negotiate(strings.Join(wanted, ","), e.Compression)
}

// notAdmitted answers a request that there is no place for.
func (e *Edge) notAdmitted(q *request, err error) {
	switch {
	case errors.Is(err, access.ErrPerPrincipal):
		outcome.Problem{
			Status: http.StatusTooManyRequests, Code: codes.ResourceExhausted,
			Detail: "this principal has as many streams open as it may have: close one first",
		}.Write(q.w)
	case errors.Is(err, access.ErrPerIP):
		e.busy(q, "limit")
	default:
		e.busy(q, "overload")
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
