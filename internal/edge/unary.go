package edge

import (
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// serveUnary answers a request for a unary method: JSON in, JSON out.
func (e *Edge) serveUnary(q *request) {
	if !accepts(q.r, typeJSON) {
		outcome.Problem{
			Status: http.StatusNotAcceptable,
			Detail: fmt.Sprintf("a unary call is answered as %s, which Accept %q does not take", typeJSON, q.r.Header.Get("Accept")),
		}.Write(q.w)
		return
	}
	if q.head {
		q.w.Header().Set("Content-Type", typeJSON)
		q.w.WriteHeader(http.StatusOK)
		return
	}
	message, ok := q.bind(e.RequestBytes)
	if !ok {
		return
	}
	sent := e.Forwarder.Metadata(q.r.Header)
	reply, _, _, err := e.Upstreams[q.method.Upstream].Invoke(q.r.Context(), upstream.Call{
		Method:          q.method.Path,
		Request:         message.Wire,
		Metadata:        func() metadata.MD { return sent },
		MaxMessageBytes: q.method.Stream.MaxMessageBytes,
	})
	if err != nil {
		end := outcome.Of(err)
		e.Logger.Debug("unary call failed", "method", q.method.Name, "code", outcome.CodeName(end.Code()), "cause", end.Cause)
		end.Problem().Write(q.w)
		return
	}
	body, err := q.encoder.AppendJSON(nil, reply)
	if err != nil {
		e.Logger.Warn("a reply could not be rendered", "method", q.method.Name, "cause", err)
		outcome.New(codes.Internal, "the reply of %s cannot be rendered as JSON", q.method.Name).Problem().Write(q.w)
		return
	}
	q.w.Header().Set("Content-Type", typeJSON)
	// An error means that the client has gone.
	_, _ = q.w.Write(append(body, '\n'))
}
