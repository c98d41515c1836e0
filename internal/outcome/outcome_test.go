package outcome_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// table is the contract's table of codes: class when it came in trailers, HTTP status, name.
var table = []struct {
	code  codes.Code
	class outcome.Class
	http  int
	name  string
}{
	{codes.OK, outcome.End, 200, "OK"},
	{codes.Canceled, outcome.Permanent, 499, "CANCELLED"},
	{codes.Unknown, outcome.Permanent, 500, "UNKNOWN"},
	{codes.InvalidArgument, outcome.Permanent, 400, "INVALID_ARGUMENT"},
	{codes.DeadlineExceeded, outcome.Busy, 504, "DEADLINE_EXCEEDED"},
	{codes.NotFound, outcome.Permanent, 404, "NOT_FOUND"},
	{codes.AlreadyExists, outcome.Permanent, 409, "ALREADY_EXISTS"},
	{codes.PermissionDenied, outcome.Permanent, 403, "PERMISSION_DENIED"},
	{codes.ResourceExhausted, outcome.Busy, 429, "RESOURCE_EXHAUSTED"},
	{codes.FailedPrecondition, outcome.Permanent, 400, "FAILED_PRECONDITION"},
	{codes.Aborted, outcome.Busy, 409, "ABORTED"},
	{codes.OutOfRange, outcome.Permanent, 400, "OUT_OF_RANGE"},
	{codes.Unimplemented, outcome.Permanent, 501, "UNIMPLEMENTED"},
	{codes.Internal, outcome.Permanent, 500, "INTERNAL"},
	{codes.Unavailable, outcome.Broken, 503, "UNAVAILABLE"},
	{codes.DataLoss, outcome.Permanent, 500, "DATA_LOSS"},
	{codes.Unauthenticated, outcome.Permanent, 401, "UNAUTHENTICATED"},
}

func TestTable(t *testing.T) {
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			st := status.New(row.code, "said by the backend")
			o := outcome.FromTrailers(st)
			if o.Class != row.class || !o.Sent || o.Cause != nil {
				t.Errorf("FromTrailers: class %v, sent %v, cause %v; want %v, true, nil", o.Class, o.Sent, o.Cause, row.class)
			}
			if got := o.Problem().Status; got != row.http {
				t.Errorf("HTTP status %d, want %d", got, row.http)
			}
			if got := outcome.CodeName(row.code); got != row.name {
				t.Errorf("name %q, want %q", got, row.name)
			}
			if row.code != codes.OK && o.Status.Message() != "said by the backend" {
				t.Errorf("message %q was changed", o.Status.Message())
			}
			// Made locally the same code is broken, and its text stays here.
			local := outcome.Local(status.New(row.code, "dial tcp 10.1.2.3:9090"), false)
			if local.Class != outcome.Broken || local.Sent {
				t.Errorf("Local: class %v, sent %v; want broken, false", local.Class, local.Sent)
			}
			if strings.Contains(local.Status.Message(), "10.1.2.3") {
				t.Errorf("Local shows an address: %q", local.Status.Message())
			}
			if row.code != codes.OK && !strings.Contains(local.Cause.Error(), "10.1.2.3") {
				t.Errorf("Local loses the cause: %v", local.Cause)
			}
		})
	}
}

func TestCodeOutsideTheTable(t *testing.T) {
	o := outcome.FromTrailers(status.New(codes.Code(99), "odd"))
	if o.Code() != codes.Unknown || o.Class != outcome.Permanent || o.Status.Message() != "odd" {
		t.Errorf("got %v %v %q, want UNKNOWN, permanent, the message", o.Code(), o.Class, o.Status.Message())
	}
	if got := outcome.Local(status.New(codes.Code(99), "odd"), true).Code(); got != codes.Unknown {
		t.Errorf("Local: got %v, want UNKNOWN", got)
	}
	// A "successful" loss must not look like an end.
	if o := outcome.Local(status.New(codes.OK, ""), true); o.Code() != codes.Unknown || o.Class != outcome.Broken {
		t.Errorf("Local of OK: got %v %v, want UNKNOWN, broken", o.Code(), o.Class)
	}
	if got := outcome.HTTPStatus(99); got != 500 {
		t.Errorf("HTTPStatus(99) = %d, want 500", got)
	}
}

func TestOf(t *testing.T) {
	notFound := &outcome.Error{Outcome: outcome.FromTrailers(status.New(codes.NotFound, "no such price"))}
	for _, c := range []struct {
		name  string
		err   error
		class outcome.Class
		code  codes.Code
	}{
		{"nil", nil, outcome.End, codes.OK},
		{"an Error", notFound, outcome.Permanent, codes.NotFound},
		{"a wrapped Error", fmt.Errorf("feed: %w", notFound), outcome.Permanent, codes.NotFound},
		{"cancelled", fmt.Errorf("feed: %w", context.Canceled), outcome.Permanent, codes.Canceled},
		{"deadline", context.DeadlineExceeded, outcome.Broken, codes.DeadlineExceeded},
		{"a bare gRPC status says nothing", status.Error(codes.NotFound, "x"), outcome.Broken, codes.Unavailable},
		{"anything else", errors.New("open /etc/secret"), outcome.Broken, codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := outcome.Of(c.err)
			if o.Class != c.class || o.Code() != c.code {
				t.Errorf("got %v %v, want %v %v", o.Class, o.Code(), c.class, c.code)
			}
			if strings.Contains(o.Status.Message(), "/etc") {
				t.Errorf("internals reach clients: %q", o.Status.Message())
			}
		})
	}
}

// Only what the backend itself answered says something about its cursors.
func TestCompacted(t *testing.T) {
	for _, row := range table {
		want := row.name == "NOT_FOUND" || row.name == "OUT_OF_RANGE" || row.name == "FAILED_PRECONDITION"
		if got := outcome.FromTrailers(status.New(row.code, "")).Compacted(); got != want {
			t.Errorf("%s: %v, want %v", row.name, got, want)
		}
		if outcome.Local(status.New(row.code, ""), true).Compacted() || outcome.New(row.code, "ours").Compacted() {
			t.Errorf("%s made by the bridge counts as compacted", row.name)
		}
	}
}

func TestErrorRoundTrip(t *testing.T) {
	if err := (outcome.Outcome{}).Err(); err != nil {
		t.Errorf("a clean end is the error %v", err)
	}
	err := outcome.New(codes.NotFound, "no stream %q", "a").Err()
	if got := status.Convert(err); got.Code() != codes.NotFound || got.Message() != `no stream "a"` {
		t.Errorf("status.Convert: %v", got)
	}
	if got, want := err.Error(), `NOT_FOUND: no stream "a"`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	lost := outcome.Local(status.New(codes.Unavailable, "dial"), false).Err()
	if got := lost.Error(); !strings.Contains(got, "cannot be reached") || !strings.Contains(got, "dial") {
		t.Errorf("Error() = %q, want text and cause", got)
	}
	wrapped := outcome.Of(context.Canceled).Err()
	if !errors.Is(wrapped, context.Canceled) {
		t.Errorf("%v does not unwrap to its cause", wrapped)
	}
}

func TestRetryDelay(t *testing.T) {
	info := func(d *durationpb.Duration) protoadapt.MessageV1 {
		return protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: d})
	}
	for _, c := range []struct {
		name   string
		code   codes.Code
		detail protoadapt.MessageV1
		want   time.Duration
	}{
		{"busy", codes.ResourceExhausted, info(durationpb.New(7 * time.Second)), 7 * time.Second},
		{"unavailable", codes.Unavailable, info(durationpb.New(time.Millisecond)), time.Millisecond},
		{"negative", codes.Unavailable, info(durationpb.New(-time.Second)), 0},
		{"out of range", codes.Unavailable, info(&durationpb.Duration{Seconds: 1 << 60}), 0},
		{"absent", codes.Unavailable, info(nil), 0},
		{"permanent: there is no other try", codes.NotFound, info(durationpb.New(time.Second)), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := status.New(c.code, "").WithDetails(c.detail)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome.FromTrailers(st).RetryDelay; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	o := outcome.TooLarge("acme.v1.Prices/Watch", 4<<20)
	if o.Class != outcome.Permanent || o.Code() != codes.ResourceExhausted || o.Problem().Status != 500 {
		t.Errorf("got %v %v %d, want permanent RESOURCE_EXHAUSTED as 500", o.Class, o.Code(), o.Problem().Status)
	}
	for _, want := range []string{"acme.v1.Prices/Watch", "4194304", "max_message_bytes"} {
		if !strings.Contains(o.Status.Message(), want) {
			t.Errorf("%q does not name %s", o.Status.Message(), want)
		}
	}
}

// statusWith returns a NOT_FOUND with one detail of each kind: shown, hidden stack, and a type of the backend's own.
func statusWith(t *testing.T) *status.Status {
	t.Helper()
	st, err := status.New(codes.NotFound, "<b>no</b> & \u2028").WithDetails(
		protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: "GONE", Domain: "<acme>"}),
		protoadapt.MessageV1Of(&errdetails.DebugInfo{StackEntries: []string{"/srv/main.go:1"}}),
		protoadapt.MessageV1Of(wrapperspb.String("internal")),
		protoadapt.MessageV1Of(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "symbol", Description: "unknown"},
		}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestAppendStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		o    outcome.Outcome
		want string
	}{
		{"end", outcome.Outcome{}, `{"code":0,"status":"OK"}`},
		{"message", outcome.New(codes.NotFound, "no such price"), `{"code":5,"status":"NOT_FOUND","message":"no such price"}`},
		{
			"escapes and details", outcome.FromTrailers(statusWith(t)),
			`{"code":5,"status":"NOT_FOUND","message":"\u003cb\u003eno\u003c/b\u003e \u0026 \u2028","details":[` +
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"GONE","domain":"\u003cacme\u003e"},` +
				`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"symbol","description":"unknown"}]}]}`,
		},
		{"invalid UTF-8", outcome.New(codes.Internal, "a\xffb\nc"), `{"code":13,"status":"INTERNAL","message":"a\ufffdb\nc"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(c.o.AppendStatus([]byte("data: ")))
			if diff := cmp.Diff("data: "+c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A detail whose bytes do not decode, and a type URL of a foreign host, must neither fail nor be repeated.
func TestHostileDetails(t *testing.T) {
	p := statusWith(t).Proto()
	p.Details[0].TypeUrl = "https://evil.example/google.rpc.ErrorInfo"
	p.Details[3].Value = []byte{0xff}
	got := string(outcome.FromTrailers(status.FromProto(p)).AppendStatus(nil))
	want := `{"code":5,"status":"NOT_FOUND","message":"\u003cb\u003eno\u003c/b\u003e \u0026 \u2028","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"GONE","domain":"\u003cacme\u003e"}]}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProblemWrite(t *testing.T) {
	w := httptest.NewRecorder()
	p := outcome.FromTrailers(statusWith(t)).Problem()
	p.RetryAfter = 1500 * time.Millisecond
	p.Write(w)
	if w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "about:blank", "title": "Not Found", "status": 404.0, "detail": "<b>no</b> & \u2028", "code": "NOT_FOUND",
		"violations": []any{map[string]any{"field": "symbol", "description": "unknown"}},
		"details": []any{
			map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "GONE", "domain": "<acme>"},
			map[string]any{
				"@type":           "type.googleapis.com/google.rpc.BadRequest",
				"fieldViolations": []any{map[string]any{"field": "symbol", "description": "unknown"}},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProblemOfHTTPAlone(t *testing.T) {
	w := httptest.NewRecorder()
	outcome.Problem{Status: 499}.Write(w)
	want := `{"type":"about:blank","title":"Client Closed Request","status":499}`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if w.Header().Values("Retry-After") != nil {
		t.Errorf("Retry-After without a delay: %v", w.Header())
	}
}

func TestClassString(t *testing.T) {
	got := fmt.Sprint(outcome.End, outcome.Permanent, outcome.Broken, outcome.Busy, outcome.Class(7))
	if want := "end permanent broken busy class 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
