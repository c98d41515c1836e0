package script_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves b in memory and returns a connection to it. Both end with the test; inside a synctest bubble they must
// end before the bubble does, which is what the returned function is for.
func start(t *testing.T, b *script.Backend) (*grpc.ClientConn, func()) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1) // one slot, so that Serve can end when nobody waits any more
	go func() { served <- b.Serve(ctx, l) }()
	conn, err := grpc.NewClient("passthrough:///script",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		_ = conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func play(t *testing.T, conn *grpc.ClientConn, r *scriptv1.PlayRequest) ([]*scriptv1.PlayResponse, error) {
	t.Helper()
	stream, err := scriptv1.NewScriptServiceClient(conn).Play(t.Context(), r)
	if err != nil {
		return nil, err
	}
	var got []*scriptv1.PlayResponse
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, m)
	}
}

func note(n uint64, text string) *scriptv1.PlayResponse {
	return &scriptv1.PlayResponse{N: n, Event: &scriptv1.PlayResponse_Note{Note: &scriptv1.Body{Text: text}}}
}

func TestPlay(t *testing.T) {
	stray := &anypb.Any{TypeUrl: "type.googleapis.com/nobody.knows.This", Value: []byte{1}}
	violation := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "x"}}}
	tests := []struct {
		name    string
		steps   []*scriptv1.Step
		request *scriptv1.PlayRequest
		want    []*scriptv1.PlayResponse
		code    codes.Code
		details int
	}{
		{name: "no steps"},
		{name: "headers alone", steps: []*scriptv1.Step{script.Headers("x-a", "1")}},
		{
			name:  "texts given and made",
			steps: []*scriptv1.Step{script.Note("hello"), script.Note("")},
			want:  []*scriptv1.PlayResponse{note(1, "hello"), note(2, "event 2")},
		},
		{
			name:    "numbers begin where the request says",
			steps:   []*scriptv1.Step{script.Note("a")},
			request: &scriptv1.PlayRequest{From: 41},
			want:    []*scriptv1.PlayResponse{note(41, "a")},
		},
		{
			name:    "sizes of the step and of the request",
			steps:   []*scriptv1.Step{script.Event(scriptv1.Kind_KIND_NOTE, "x", 5), script.Note("y")},
			request: &scriptv1.PlayRequest{Size: 3},
			want:    []*scriptv1.PlayResponse{note(1, "xabcd"), note(2, "yab")},
		},
		{
			name: "kinds",
			steps: []*scriptv1.Step{
				script.Event(scriptv1.Kind_KIND_MESSAGE, "m", 0), script.Event(scriptv1.Kind_KIND_ERROR, "e", 0),
				script.Event(scriptv1.Kind_KIND_OPEN, "o", 0), script.Event(scriptv1.Kind_KIND_NONE, "", 0), script.Any(stray),
			},
			want: []*scriptv1.PlayResponse{
				{N: 1, Event: &scriptv1.PlayResponse_Message{Message: &scriptv1.Body{Text: "m"}}},
				{N: 2, Event: &scriptv1.PlayResponse_Error{Error: &scriptv1.Body{Text: "e"}}},
				{N: 3, Event: &scriptv1.PlayResponse_Open{Open: &scriptv1.Body{Text: "o"}}},
				{N: 4},
				{N: 5, Event: &scriptv1.PlayResponse_Any{Any: stray}},
			},
		},
		{
			name:    "a burst as long as the request says",
			steps:   []*scriptv1.Step{script.Burst(0, 0, 0)},
			request: &scriptv1.PlayRequest{Count: 2},
			want:    []*scriptv1.PlayResponse{note(1, "event 1"), note(2, "event 2")},
		},
		{
			name:    "a burst as long as the step says",
			steps:   []*scriptv1.Step{script.Burst(1, 8, 0)},
			request: &scriptv1.PlayRequest{Count: 2},
			want:    []*scriptv1.PlayResponse{note(1, "event 1a")},
		},
		{
			name:  "an end before the last step",
			steps: []*scriptv1.Step{script.Note("a"), script.End(), script.Note("b")},
			want:  []*scriptv1.PlayResponse{note(1, "a")},
		},
		{
			name:  "a failure",
			steps: []*scriptv1.Step{script.Note("a"), script.Fail(codes.NotFound, "gone", violation), script.Note("b")},
			want:  []*scriptv1.PlayResponse{note(1, "a")}, code: codes.NotFound, details: 1,
		},
		{name: "a panic", steps: []*scriptv1.Step{script.Panic("ouch")}, code: codes.Internal},
		{name: "a cut connection", steps: []*scriptv1.Step{script.Drop()}, code: codes.Unavailable},
		{name: "an empty step", steps: []*scriptv1.Step{{}}, code: codes.InvalidArgument},
		{name: "no such script", request: &scriptv1.PlayRequest{Script: "other"}, code: codes.NotFound},
		{name: "bad UTF-8", steps: []*scriptv1.Step{script.Raw([]byte{0x12, 1, 0xff})}, code: codes.Internal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := script.New()
			b.Define("test", test.steps...)
			conn, stop := start(t, b)
			defer stop()
			r := test.request
			if r == nil {
				r = &scriptv1.PlayRequest{}
			}
			if r.GetScript() == "" {
				r.Script = "test"
			}
			got, err := play(t, conn, r)
			if status.Code(err) != test.code || len(status.Convert(err).Details()) != test.details {
				t.Errorf("ended with %v and details %v, want %v and %d", err, status.Convert(err).Details(), test.code, test.details)
			}
			if diff := cmp.Diff(test.want, got, protocmp.Transform()); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWaitAndGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := script.New()
		b.Define("test", script.Wait(time.Hour), script.Note("a"), script.Gate("g"), script.Note("b"))
		conn, stop := start(t, b)
		defer stop()
		begin := time.Now()
		stream, err := scriptv1.NewScriptServiceClient(conn).Play(t.Context(), &scriptv1.PlayRequest{Script: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil || time.Since(begin) != time.Hour {
			t.Fatalf("first message after %v with %v, want after an hour", time.Since(begin), err)
		}
		synctest.Wait()
		if calls := b.Calls(""); calls[0].GetSent() != 1 || calls[0].GetEnded() {
			t.Fatalf("the call did not wait at the gate: %v", calls)
		}
		b.Open("g")
		b.Open("g") // open is open
		if m, err := stream.Recv(); err != nil || m.GetNote().GetText() != "b" {
			t.Fatalf("behind the gate: %v, %v", m, err)
		}
	})
}

func TestCallsAndAwait(t *testing.T) {
	b := script.New()
	b.Define("endless", script.Burst(0, 0, time.Millisecond))
	conn, stop := start(t, b)
	defer stop()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "x-a", "1", "x-a", "2"))
	defer cancel()
	_, err := scriptv1.NewScriptServiceClient(conn).Play(ctx, &scriptv1.PlayRequest{Script: "endless", Stream: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Await(t.Context(), "s", script.Sent(3)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := b.Await(t.Context(), "s", script.AllEnded(1)); err != nil {
		t.Fatal(err)
	}
	got := b.Calls("s")
	if len(got) != 1 || len(b.Calls("another")) != 0 {
		t.Fatalf("calls by name: %v", got)
	}
	c := got[0]
	if !c.GetCancelled() || codes.Code(c.GetCode()) != codes.Canceled || c.GetMetadata()["x-a"] != "1, 2" {
		t.Errorf("the call: %v, want it cancelled, with the metadata it had", c)
	}
	done, end := context.WithCancel(t.Context())
	end()
	err = b.Await(done, "s", script.Begun(2))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "endless") {
		t.Errorf("Await that gives up: %v, want the reason and what was there", err)
	}
}

func TestControl(t *testing.T) {
	conn, stop := start(t, script.New())
	defer stop()
	control := scriptv1.NewControlServiceClient(conn)
	s := &scriptv1.Script{Steps: []*scriptv1.Step{script.Gate("g"), script.Note("a")}}
	if _, err := control.DefineScript(t.Context(), &scriptv1.DefineScriptRequest{Name: "far", Script: s}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.DefineScript(t.Context(), &scriptv1.DefineScriptRequest{Script: s}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a script without a name: %v", err)
	}
	if _, err := control.OpenGate(t.Context(), &scriptv1.OpenGateRequest{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	got, err := play(t, conn, &scriptv1.PlayRequest{Script: "far", Stream: "s"})
	want := []*scriptv1.PlayResponse{note(1, "a")}
	want[0].Stream = "s"
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Fatalf("ended with %v, messages (-want +got):\n%s", err, diff)
	}
	calls, err := control.ListCalls(t.Context(), &scriptv1.ListCallsRequest{Stream: "s"})
	if err != nil || len(calls.GetCalls()) != 1 || calls.GetCalls()[0].GetSent() != 1 {
		t.Errorf("ListCalls: %v, %v", calls, err)
	}
}

func TestEcho(t *testing.T) {
	conn, stop := start(t, script.New())
	defer stop()
	client := scriptv1.NewScriptServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-a", "1")
	got, err := client.Echo(ctx, &scriptv1.EchoRequest{Text: "t"})
	if err != nil || got.GetText() != "t" || got.GetMetadata()["x-a"] != "1" {
		t.Errorf("Echo: %v, %v", got, err)
	}
	fail := &scriptv1.Fail{Code: uint32(codes.DataLoss), Message: "m"}
	if _, err = client.Echo(ctx, &scriptv1.EchoRequest{Fail: fail}); status.Code(err) != codes.DataLoss {
		t.Errorf("Echo that fails: %v", err)
	}
}
