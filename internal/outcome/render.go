package outcome

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

// CodeName returns a code as google.rpc.Code spells it: NOT_FOUND. Codes that gRPC does not define are UNKNOWN.
func CodeName(c codes.Code) string {
	if name, ok := code.Code_name[int32(c)]; ok {
		return name
	}
	return code.Code_UNKNOWN.String()
}

// HTTPStatus returns the HTTP status for a code, after google.rpc.Code's own table. 499, for CANCELLED, is not
// registered but is what proxies log for a client that went away.
func HTTPStatus(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return statusClientClosedRequest
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	default: // UNKNOWN, INTERNAL, DATA_LOSS
		return http.StatusInternalServerError
	}
}

const statusClientClosedRequest = 499

// shownDetails are the messages that clients may see among a status's details. Those of other types are left out:
// google.rpc.DebugInfo holds stacks, and a type of the backend's own was not meant for browsers.
var shownDetails = []string{
	"google.rpc.BadRequest",
	"google.rpc.ErrorInfo",
	"google.rpc.Help",
	"google.rpc.LocalizedMessage",
	"google.rpc.PreconditionFailure",
	"google.rpc.QuotaFailure",
	"google.rpc.RequestInfo",
	"google.rpc.ResourceInfo",
	"google.rpc.RetryInfo",
}

// details returns the status's shown details as protobuf JSON with @type, compact and safe inside HTML. One that cannot
// be rendered is left out.
func details(st *status.Status) []json.RawMessage {
	var out []json.RawMessage
	for _, d := range st.Proto().GetDetails() {
		if !slices.Contains(shownDetails, string(d.MessageName())) {
			continue
		}
		// The type is named anew, since @type would repeat whatever host the backend put before it.
		d = &anypb.Any{TypeUrl: "type.googleapis.com/" + string(d.MessageName()), Value: d.Value}
		text, err := protojson.Marshal(d)
		if err != nil {
			continue
		}
		// encoding/json compacts and escapes a RawMessage when it marshals what is around it.
		out = append(out, text)
	}
	return out
}

// AppendStatus appends google.rpc.Status as one line of JSON and returns the longer slice:
//
//	{"code":5,"status":"NOT_FOUND","message":"no such price","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",…}]}
//
// An empty message and an empty list of details are left out. <, >, &, U+2028 and U+2029 are escaped, invalid UTF-8 is
// replaced by U+FFFD.
func (o Outcome) AppendStatus(dst []byte) []byte {
	text, err := json.Marshal(struct {
		Code    uint32            `json:"code"`
		Status  string            `json:"status"`
		Message string            `json:"message,omitempty"`
		Details []json.RawMessage `json:"details,omitempty"`
	}{
		Code: uint32(o.Code()), Status: CodeName(o.Code()), Message: o.Status.Message(), Details: details(o.Status),
	})
	if err != nil {
		// Every part is a number, a string, or JSON that protojson has just written.
		panic("outcome: " + err.Error())
	}
	return append(dst, text...)
}

// Violation is one field of a request that the call cannot be made with.
type Violation struct {
	// Field is the field's path, as in the proto: "filter.symbol". "" for the request as a whole.
	Field string `json:"field"`
	// Description says what was expected.
	Description string `json:"description"`
}

// Problem is an error as an HTTP body (RFC 9457, application/problem+json).
type Problem struct {
	// Status is the HTTP status.
	Status int
	// Title says what kind of problem it is. Default: the status's name.
	Title string
	// Detail says what was wrong here, and what to do.
	Detail string
	// Code is the gRPC code, written by name in the member "code". OK leaves the member out: a problem of HTTP alone.
	Code codes.Code
	// Violations names the fields at fault, where that is known.
	Violations []Violation
	// RetryAfter is the header Retry-After, rounded up to whole seconds. 0 sets no header.
	RetryAfter time.Duration

	details []json.RawMessage
}

// Problem returns the outcome as an HTTP problem. Violations are those of the status's google.rpc.BadRequest.
func (o Outcome) Problem() Problem {
	p := Problem{Status: o.HTTP, Detail: o.Status.Message(), Code: o.Code(), RetryAfter: o.RetryDelay}
	if p.Status == 0 {
		p.Status = HTTPStatus(o.Code())
	}
	for _, d := range o.Status.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				p.Violations = append(p.Violations, Violation{Field: v.GetField(), Description: v.GetDescription()})
			}
		}
	}
	p.details = details(o.Status)
	return p
}

// MarshalJSON writes the members of RFC 9457 (type, title, status, detail) and of the bridge (code, violations,
// details). Empty ones are left out.
func (p Problem) MarshalJSON() ([]byte, error) {
	name := ""
	if p.Code != codes.OK {
		name = CodeName(p.Code)
	}
	return json.Marshal(struct {
		Type       string            `json:"type"`
		Title      string            `json:"title"`
		Status     int               `json:"status"`
		Detail     string            `json:"detail,omitempty"`
		Code       string            `json:"code,omitempty"`
		Violations []Violation       `json:"violations,omitempty"`
		Details    []json.RawMessage `json:"details,omitempty"`
	}{
		Type: "about:blank", Title: p.title(), Status: p.Status, Detail: p.Detail, Code: name,
		Violations: p.Violations, Details: p.details,
	})
}

func (p Problem) title() string {
	switch {
	case p.Title != "":
		return p.Title
	case p.Status == statusClientClosedRequest:
		return "Client Closed Request"
	default:
		return http.StatusText(p.Status)
	}
}

// Write sends the problem as the whole response. Headers that every response carries are the caller's.
func (p Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic("outcome: " + err.Error()) // see AppendStatus
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.WriteHeader(p.Status)
	// The client may be gone: there is nobody left to tell.
	_, _ = w.Write(body)
}
