// Package gateway is a grpc-gateway for the benchmark's service, as its generator makes it: each reader makes a call of
// its own to the backend, and what comes is marshalled for it.
package gateway

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	benchv1 "github.com/grpc-sse/grpc-sse/bench/internal/gateway/gen/bench/v1"
)

// New makes the gateway: GET /sub/STREAM?hello=true. closing closes its connection to the backend.
func New(ctx context.Context, backend string) (handler http.Handler, closing func() error, err error) {
	conn, err := grpc.NewClient("passthrough:"+backend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	marshaler := &eventMarshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitUnpopulated: true}}} // its default
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler))
	if err := benchv1.RegisterEventServiceHandler(ctx, mux, conn); err != nil {
		_ = conn.Close() // it was never used
		return nil, nil, err
	}
	return mux, conn.Close, nil
}

// eventMarshaler makes of the gateway's JSON what an EventSource takes, in the way that grpc-gateway's users do it. The
// cost is that of a copy; all targets can be read by one client for it.
type eventMarshaler struct{ runtime.JSONPb }

var _ runtime.Delimited = (*eventMarshaler)(nil)

// ContentType is that of a stream.
func (*eventMarshaler) ContentType(any) string { return "text/event-stream" }

// Delimiter is what stands behind each message.
func (*eventMarshaler) Delimiter() []byte { return []byte("\n\n") }

// Marshal makes a field of an event.
func (m *eventMarshaler) Marshal(v any) ([]byte, error) {
	text, err := m.JSONPb.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte("data: "), text...), nil
}
