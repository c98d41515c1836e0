package schema_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// serve starts a gRPC server and connects to it.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	register(server)
	done := make(chan error, 1) // Serve ends after Stop; nobody may be waiting for it then
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	return conn
}

// foreign registers services that nobody here wrote.
func foreign(s *grpc.Server) {
	healthpb.RegisterHealthServer(s, health.NewServer())
	testpb.RegisterTestServiceServer(s, interop.NewTestServer())
}

func TestReflectForeignServer(t *testing.T) {
	for name, register := range map[string]func(*grpc.Server){
		"both": func(s *grpc.Server) { reflection.Register(s) },
		"v1":   func(s *grpc.Server) { reflection.RegisterV1(s) },
		"v1alpha": func(s *grpc.Server) {
			both := grpc.NewServer()
			foreign(both)
			reflection.Register(both)
			onlyAlpha(s, both)
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, func(s *grpc.Server) { foreign(s); register(s) })
			s, err := schema.Reflect(t.Context(), conn, "foreign")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]protoreflect.FullName{"grpc.health.v1.Health", "grpc.testing.TestService"}, s.Services); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
			checkForeignTable(t, s)
		})
	}
}

// onlyAlpha offers reflection of another server by v1alpha alone.
func onlyAlpha(s, other *grpc.Server) {
	server := reflection.NewServer(reflection.ServerOptions{Services: other})
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "grpc.reflection.v1alpha.ServerReflection",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "ServerReflectionInfo",
			ServerStreams: true,
			ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				return server.ServerReflectionInfo(&grpc.GenericServerStream[alpha.ServerReflectionRequest, alpha.ServerReflectionResponse]{ServerStream: stream}) //nolint:staticcheck // the deprecated service is what is tested
			},
		}},
	}, struct{}{})
}

func checkForeignTable(t *testing.T, s *schema.Schema) {
	t.Helper()
	if tab := table(t, schema.Options{}, s); len(tab.Methods()) != 0 || len(tab.LeftOut()) == 0 {
		t.Errorf("%d methods exposed by nobody, %d left out", len(tab.Methods()), len(tab.LeftOut()))
	}
	tab := table(t, schema.Options{
		Expose: []string{"grpc.health.v1.Health/*", "grpc.testing.TestService.StreamingOutputCall"},
		Rules:  rules(t, `selector: "grpc.health.v1.Health.Watch" http { get: "/health/{service}" }`),
	}, s)
	var got []string
	for _, r := range tab.Routes() {
		got = append(got, r.Binding.Verb+" "+r.Binding.Template)
	}
	slices.Sort(got)
	want := []string{
		"GET /grpc.health.v1.Health/Watch", "GET /grpc.testing.TestService/StreamingOutputCall", "GET /health/{service}",
		"POST /grpc.health.v1.Health/Check", "POST /grpc.health.v1.Health/List", "POST /grpc.health.v1.Health/Watch",
		"POST /grpc.testing.TestService/StreamingOutputCall",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	reasons := make(map[string]schema.LeftOut)
	for _, l := range tab.LeftOut() {
		reasons[string(l.Method.Name())] = l
	}
	if l := reasons["UnaryCall"]; l.Flag != "--expose grpc.testing.TestService/UnaryCall" || l.Upstream != "foreign" {
		t.Errorf("left out: %+v", l)
	}
	if l := reasons["FullDuplexCall"]; l.Flag != "" || !strings.Contains(l.Reason, "client-streaming") {
		t.Errorf("left out: %+v", l)
	}
}

// TestReflectionAndDescriptorSetAgree reads one schema in both ways.
func TestReflectionAndDescriptorSetAgree(t *testing.T) {
	conn := serve(t, func(s *grpc.Server) {
		healthpb.RegisterHealthServer(s, health.NewServer())
		reflection.Register(s)
	})
	byReflection, err := schema.Reflect(t.Context(), conn, "x")
	if err != nil {
		t.Fatal(err)
	}
	fd := &descriptorpb.FileDescriptorProto{}
	byReflection.Files.RangeFilesByPackage("grpc.health.v1", func(f protoreflect.FileDescriptor) bool {
		fd = protodesc.ToFileDescriptorProto(f)
		return true
	})
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{fd}})
	if err != nil {
		t.Fatal(err)
	}
	bySet, err := schema.FromDescriptorSet(raw, "x")
	if err != nil {
		t.Fatal(err)
	}
	if byReflection.Fingerprint != bySet.Fingerprint {
		t.Error("two fingerprints of one schema")
	}
}

func TestNoReflection(t *testing.T) {
	_, err := schema.Reflect(t.Context(), serve(t, foreign), "x")
	if !errors.Is(err, schema.ErrNoReflection) {
		t.Errorf("error %v, want ErrNoReflection", err)
	}
	wantError(t, err, "--descriptor-set")
}

func TestUnreachableBackendKeepsItsStatus(t *testing.T) {
	conn := serve(t, foreign)
	_ = conn.Close()
	if _, err := schema.Reflect(t.Context(), conn, "x"); status.Code(err) != codes.Canceled {
		t.Errorf("error %v, want the status of a closed connection", err)
	}
	refused, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("refused") }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = refused.Close() }()
	if _, err := schema.Reflect(t.Context(), refused, "x"); status.Code(err) != codes.Unavailable || errors.Is(err, schema.ErrNoReflection) {
		t.Errorf("error %v, want UNAVAILABLE", err)
	}
}
