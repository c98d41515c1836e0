package edge

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// bodyTimeout is how long a client may take to send its body.
const bodyTimeout = 10 * time.Second

// request is one HTTP request that has found its route.
type request struct {
	*route
	known *knownPath
	w     http.ResponseWriter
	r     *http.Request
	head  bool // the client asked with HEAD
	bare  bool // it has nothing but the path; set by bind
	own   parameters
	look  view.Options // of a stream
}

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
	q.bare = len(query) == 0 && len(body) == 0
	if known := q.known.bare.Load(); q.bare && known != nil {
		return *known, true
	}
	message, err := q.binder.Bind(q.known.variables, query, body)
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
	if q.bare {
		q.known.bare.Store(&message)
	}
	return message, true
}

func (q *request) refuse(status int, err error) {
	outcome.Problem{Status: status, Code: codes.InvalidArgument, Detail: err.Error()}.Write(q.w)
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
	if r.Body == http.NoBody {
		return nil, 0, nil
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
