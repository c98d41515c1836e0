package script

import (
	"context"
	"errors"
	"maps"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// NewServer returns a plaintext server with the Backend's services, reflection (v1 and v1alpha) and health. Stop ends
// running calls and waits for them.
func (b *Backend) NewServer(options ...grpc.ServerOption) *grpc.Server {
	options = append([]grpc.ServerOption{
		grpc.Creds(connCredentials{insecure.NewCredentials()}),
		grpc.WaitForHandlers(true),
		grpc.MaxSendMsgSize(2 * maxSize),
		grpc.ChainUnaryInterceptor(b.countUnary),
		grpc.ChainStreamInterceptor(b.countStream),
	}, options...)
	s := grpc.NewServer(options...)
	scriptv1.RegisterScriptServiceServer(s, b)
	scriptv1.RegisterControlServiceServer(s, b)
	scriptv1.RegisterBroadcastServiceServer(s, b)
	scriptv1.RegisterShapeServiceServer(s, b)
	scriptv1.RegisterLogServiceServer(s, logService{b: b})
	if b.Principals {
		scriptv1.RegisterPrincipalServiceServer(s, b)
	}
	healthv1.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)
	return s
}

// Serve serves on l until ctx ends, and then ends all calls. It closes l. The error is nil when ctx ended it.
func (b *Backend) Serve(ctx context.Context, l net.Listener) error {
	s := b.NewServer()
	stop := context.AfterFunc(ctx, s.Stop)
	err := s.Serve(l)
	if !stop() {
		s.Stop() // also waits for the calls, should the AfterFunc still be at it
		return nil
	}
	return err
}

func (b *Backend) count(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[fullName(path)]++
}

func (b *Backend) countUnary(ctx context.Context, r any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	b.count(info.FullMethod)
	return next(ctx, r)
}

func (b *Backend) countStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	b.count(info.FullMethod)
	return next(srv, stream)
}

// Echo returns what it got, with the headers and trailers that it was asked for.
func (b *Backend) Echo(ctx context.Context, r *scriptv1.EchoRequest) (*scriptv1.EchoResponse, error) {
	m := &scriptv1.EchoResponse{Text: r.GetText(), Metadata: received(ctx)}
	if deadline, ok := ctx.Deadline(); ok {
		m.Left = durationpb.New(time.Until(deadline))
	}
	if err := errors.Join(grpc.SetHeader(ctx, pairs(r.GetHeaders())), grpc.SetTrailer(ctx, pairs(r.GetTrailers()))); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := pause(ctx, r.GetWait().AsDuration()); err != nil {
		return nil, err
	}
	if r.GetFail() != nil {
		return nil, failure(r.GetFail())
	}
	return m, nil
}

// pairs is metadata as a map has it, the other way round than received.
func pairs(values map[string]string) metadata.MD {
	md := metadata.MD{}
	for k, v := range values {
		md.Append(k, strings.Split(v, ", ")...)
	}
	return md
}

// DefineScript is [Backend.Define] for a test in another process.
func (b *Backend) DefineScript(_ context.Context, r *scriptv1.DefineScriptRequest) (*scriptv1.DefineScriptResponse, error) {
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "name is empty: give the script a name")
	}
	b.Define(r.GetName(), clone(r.GetScript())...)
	return &scriptv1.DefineScriptResponse{}, nil
}

// OpenGate is [Backend.Open] for a test in another process.
func (b *Backend) OpenGate(_ context.Context, r *scriptv1.OpenGateRequest) (*scriptv1.OpenGateResponse, error) {
	b.Open(r.GetName())
	return &scriptv1.OpenGateResponse{}, nil
}

// ListCalls is [Backend.Calls] for a test in another process.
func (b *Backend) ListCalls(_ context.Context, r *scriptv1.ListCallsRequest) (*scriptv1.ListCallsResponse, error) {
	calls := b.Calls(r.GetStream())
	b.mu.Lock()
	defer b.mu.Unlock()
	return &scriptv1.ListCallsResponse{Calls: calls, Counts: maps.Clone(b.counts)}, nil
}

// connCredentials are plaintext credentials that let a handler find the connection under its call.
type connCredentials struct {
	credentials.TransportCredentials
}

type connInfo struct {
	credentials.AuthInfo
	conn net.Conn
}

// ServerHandshake keeps the connection beside what the handshake found out.
func (c connCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	_, info, err := c.TransportCredentials.ServerHandshake(conn)
	return conn, connInfo{info, conn}, err
}

// Clone copies the credentials.
func (c connCredentials) Clone() credentials.TransportCredentials {
	return connCredentials{c.TransportCredentials.Clone()}
}
