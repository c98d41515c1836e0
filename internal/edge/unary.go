package edge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// timeoutHeader is how a client asks for a deadline, as in gRPC over HTTP/2: up to eight digits and a unit.
const timeoutHeader = "Grpc-Timeout"

// serveUnary answers a request for a unary method: JSON in, JSON out, or what the backend puts into a
// google.api.HttpBody.
func (e *Edge) serveUnary(q *request) {
	body := q.answer() == httpBody
	if !body && !accepts(q.r, typeJSON) {
		outcome.Problem{
			Status: http.StatusNotAcceptable,
			Detail: fmt.Sprintf("a unary call is answered as %s, which Accept %q does not take", typeJSON, q.r.Header.Get("Accept")),
		}.Write(q.w)
		return
	}
	if q.head {
		if !body { // else only the backend knows
			q.w.Header().Set("Content-Type", typeJSON)
		}
		q.w.WriteHeader(http.StatusOK)
		return
	}
	message, ok := q.bind(e.RequestBytes)
	if !ok {
		return
	}
	ctx, cancel, err := e.deadline(q.r)
	if err != nil {
		q.refuse(http.StatusBadRequest, err)
		return
	}
	defer cancel()
	sent := e.Forwarder.Metadata(q.r.Header)
	reply, header, trailer, err := e.Upstreams[q.method.Upstream].Invoke(ctx, upstream.Call{
		Method:          q.method.Path,
		Request:         message.Wire,
		Metadata:        func() metadata.MD { return sent },
		MaxMessageBytes: q.method.Stream.MaxMessageBytes,
	})
	access.ResponseHeaders(e.ResponseMetadata, header, trailer, q.w.Header())
	if err != nil {
		end := outcome.Of(err)
		e.Logger.Debug("unary call failed", "method", q.method.Name, "code", outcome.CodeName(end.Code()), "cause", end.Cause)
		end.Problem().Write(q.w)
		return
	}
	e.reply(q, reply, body)
}

// answer is the type of what the client is answered with.
func (q *request) answer() protoreflect.FullName {
	if fd := q.binding.ResponseField; fd != nil {
		if fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return ""
		}
		return fd.Message().FullName()
	}
	return q.method.Output.FullName()
}

// reply renders the backend's message.
func (e *Edge) reply(q *request, wire []byte, body bool) {
	rendered, err := q.encoder.AppendJSON(nil, wire)
	if err != nil {
		e.Logger.Warn("a reply could not be rendered", "method", q.method.Name, "cause", err)
		outcome.New(codes.Internal, "the reply of %s cannot be rendered as JSON", q.method.Name).Problem().Write(q.w)
		return
	}
	if fd := q.binding.ResponseField; fd != nil {
		rendered = view.ResponseField(fd, rendered)
	}
	media := typeJSON
	if body {
		media, rendered = bodyOf(rendered)
	} else {
		rendered = append(rendered, '\n')
	}
	q.w.Header().Set("Content-Type", media)
	// An error means that the client has gone.
	_, _ = q.w.Write(rendered)
}

// bodyOf takes a google.api.HttpBody, in protobuf JSON, apart.
func bodyOf(rendered []byte) (media string, body []byte) {
	var fields struct {
		ContentType string `json:"contentType"`
		Data        string `json:"data"`
	}
	// The encoder made both the JSON and the base64 in it.
	_ = json.Unmarshal(rendered, &fields)
	body, _ = base64.StdEncoding.DecodeString(fields.Data)
	return view.MediaType(fields.ContentType), body
}

// deadline is the context of a unary call: the bridge's own timeout, or the client's where that is shorter.
func (e *Edge) deadline(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout, bounded := e.UnaryTimeout, e.UnaryTimeout > 0
	if asked := r.Header.Get(timeoutHeader); asked != "" {
		d, ok := parseTimeout(asked)
		if !ok {
			return nil, nil, fmt.Errorf("%s is %q; give up to eight digits and a unit of H, M, S, m, u or n", timeoutHeader, asked)
		}
		if !bounded || d < timeout {
			timeout, bounded = d, true
		}
	}
	if !bounded {
		return r.Context(), func() {}, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// parseTimeout reads a timeout as the gRPC protocol writes it. More than 100 hours are as good as 100.
func parseTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	unit, ok := timeoutUnits[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	const longest = 100 * time.Hour
	if time.Duration(n) > longest/unit {
		return longest, true
	}
	return time.Duration(n) * unit, true
}
