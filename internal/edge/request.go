package edge

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// bodyTimeout is how long a client may take to send its body.
const bodyTimeout = 10 * time.Second

// request is one HTTP request that has found its route.
type request struct {
	*route
	w         http.ResponseWriter
	r         *http.Request
	variables map[string]string // of the path, decoded
	head      bool              // the client asked with HEAD
	own       parameters
}

// parameters are the bridge's own query parameters and headers.
type parameters struct {
	cursor string // empty: none presented
	key    string // empty: none
}

// keyGrammar is what a client may call a stream by.
var keyGrammar = regexp.MustCompile(`^[A-Za-z0-9_-]{22,64}$`)

// bind reads the request: the bridge's own parameters, and the message that the rest makes. It answers by itself and
// returns false where that cannot be.
func (q *request) bind(limit int64) (transcode.Request, bool) {
	query, err := q.parameters()
	if err != nil {
		q.refuse(http.StatusBadRequest, err)
		return transcode.Request{}, false
	}
	body, status, err := q.body(limit)
	if err != nil {
		q.refuse(status, err)
		return transcode.Request{}, false
	}
	message, err := q.binder.Bind(q.variables, query, body)
	if bad, ok := errors.AsType[*transcode.BindError](err); ok {
		outcome.Problem{
			Status: http.StatusBadRequest, Code: codes.InvalidArgument, Detail: bad.Error(), Violations: bad.Violations,
		}.Write(q.w)
		return transcode.Request{}, false
	}
	if err != nil {
		q.refuse(http.StatusBadRequest, err)
		return transcode.Request{}, false
	}
	return message, true
}

func (q *request) refuse(status int, err error) {
	outcome.Problem{Status: status, Code: codes.InvalidArgument, Detail: err.Error()}.Write(q.w)
}

// parameters takes the bridge's own parameters out of the query and returns what binds to the message.
func (q *request) parameters() (url.Values, error) {
	query, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query is malformed: %w", err)
	}
	for name, values := range query {
		if !strings.HasPrefix(name, "sse.") {
			continue
		}
		delete(query, name)
		if len(values) != 1 {
			return nil, fmt.Errorf("query parameter %s is given %d times; give it once", name, len(values))
		}
		switch name {
		case "sse.last_event_id":
			q.own.cursor = values[0]
		case "sse.call":
			if q.own.key = values[0]; !keyGrammar.MatchString(q.own.key) {
				return nil, errors.New("sse.call must be 22 to 64 characters of [A-Za-z0-9_-]; draw them at random for each call")
			}
		default:
			return nil, fmt.Errorf("unknown query parameter %s; there are sse.last_event_id and sse.call", name)
		}
	}
	// The header wins: it is what the browser saw last, the parameter what the page began with.
	if cursor := q.r.Header.Get("Last-Event-ID"); cursor != "" {
		q.own.cursor = cursor
	}
	// A unary call is not named: what such a header says there is for whom it is forwarded to.
	if key := q.r.Header.Get("Idempotency-Key"); key != "" && q.method.ServerStreaming {
		if !keyGrammar.MatchString(key) {
			return nil, errors.New("Idempotency-Key must be 22 to 64 characters of [A-Za-z0-9_-]; draw them at random for each call")
		}
		if q.own.key != "" && q.own.key != key {
			return nil, errors.New("sse.call and Idempotency-Key name two calls; give one of them")
		}
		q.own.key = key
	}
	return query, nil
}

// body reads the request's body to its end.
func (q *request) body(limit int64) (body []byte, status int, err error) {
	body, status, err = readBody(q.w, q.r, limit)
	kind := q.r.Header.Get("Content-Type")
	if err != nil || len(body) == 0 && kind == "" {
		return nil, status, err
	}
	if len(body) != 0 && q.binding.Body == "" {
		return nil, http.StatusBadRequest, fmt.Errorf("%s %s takes no body; send query parameters", q.r.Method, q.binding.Template)
	}
	if media, _, err := mime.ParseMediaType(kind); q.binding.Body != "" && (err != nil || media != typeJSON) {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Type %q is not taken; send application/json", kind)
	}
	return body, 0, nil
}

// readBody reads the body of r within bodyTimeout. After an error the deadline stands, since net/http reads what is left
// of the body before it answers.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, status int, err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Encoding %q is not taken; send the body as it is", encoding)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // not every writer has one
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	// The error itself is not shown: it can hold addresses.
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", large.Limit)
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return nil, http.StatusRequestTimeout, fmt.Errorf("the body did not arrive within %v", bodyTimeout)
	}
	if err != nil {
		return nil, http.StatusBadRequest, errors.New("the body could not be read: it ended too early, or is not framed as HTTP asks")
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, 0, nil
}
