package script_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func TestShapes(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	c := scriptv1.NewShapeServiceClient(conn)
	check := func(what string, want, got proto.Message, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}

	bodies, err := c.StreamBody(t.Context(), &scriptv1.StreamBodyRequest{ContentType: "text/csv", Pieces: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := bodies.Recv()
	check("the first piece", &httpbody.HttpBody{ContentType: "text/csv", Data: []byte("a")}, first, err)
	second, err := bodies.Recv()
	check("the second piece", &httpbody.HttpBody{Data: []byte("b")}, second, err)
	body, err := c.GetBody(t.Context(), &scriptv1.GetBodyRequest{Text: "a"})
	check("one body", &httpbody.HttpBody{ContentType: "text/plain; charset=utf-8", Data: []byte("a")}, body, err)

	fields, err := c.StreamField(t.Context(), &scriptv1.StreamFieldRequest{Texts: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	field, err := fields.Recv()
	check("a field", &scriptv1.StreamFieldResponse{Item: &scriptv1.Item{Text: "a"}, Hidden: "hidden"}, field, err)
	one, err := c.GetField(t.Context(), &scriptv1.GetFieldRequest{Texts: []string{"a"}})
	check("one field", &scriptv1.GetFieldResponse{Items: []*scriptv1.Item{{Text: "a"}}, Hidden: "hidden"}, one, err)
	if err := b.Await(t.Context(), "", script.AllEnded(2)); err != nil {
		t.Error(err)
	}
}

func TestEchoOfMetadataAndDeadline(t *testing.T) {
	b := script.New()
	conn, stop := start(t, b)
	defer stop()
	c := scriptv1.NewScriptServiceClient(conn)
	var header, trailer metadata.MD
	got, err := c.Echo(t.Context(), &scriptv1.EchoRequest{
		Headers: map[string]string{"x-h": "1, 2"}, Trailers: map[string]string{"x-t": "3"},
		Fail: &scriptv1.Fail{Code: uint32(codes.NotFound)},
	}, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) != codes.NotFound || got.GetLeft() != nil {
		t.Errorf("ended with %v", err)
	}
	if diff := cmp.Diff([]string{"1", "2"}, header["x-h"]); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"3"}, trailer["x-t"]); diff != "" {
		t.Errorf("trailer (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err = c.Echo(ctx, &scriptv1.EchoRequest{}); err != nil || got.GetLeft().AsDuration() > time.Minute || got.GetLeft().AsDuration() < time.Second {
		t.Errorf("with a deadline: %v, %v", got, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err = c.Echo(ctx, &scriptv1.EchoRequest{Wait: durationpb.New(time.Hour)}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("past the deadline: %v", err)
	}
	if n := b.Count("demo.script.v1.ScriptService.Echo"); n < 2 || n > 3 {
		t.Errorf("%d calls, want 2, or 3 if the last one came in time", n)
	}
}
