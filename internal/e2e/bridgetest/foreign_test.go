package bridgetest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	interopv1 "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"

	"github.com/grpc-sse/grpc-sse/internal/demo"
)

// The health service that every gRPC server can have is served with --expose and no code.
func TestHealthWatch(t *testing.T) {
	h := health.NewServer()
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, h)
	reflection.Register(server)
	w := start(t, upstreams(serve(t, server))+"expose: [grpc.health.v1.Health/*]\n")
	const event = "grpc.health.v1.HealthCheckResponse"

	s := w.get("/grpc.health.v1.Health/Watch?service=shop")
	s.expect(event, `{"status":"SERVICE_UNKNOWN"}`)
	h.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
	serving := s.expect(event, `{"status":"SERVING"}`)
	s.leave()
	h.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
	s = w.get("/grpc.health.v1.Health/Watch?service=shop", from(serving.ID))
	s.expect(event, `{"status":"NOT_SERVING"}`)

	if a := w.do("POST", "/grpc.health.v1.Health/Check", `{"service":"shop"}`); a.body != `{"status":"NOT_SERVING"}`+"\n" {
		t.Errorf("Check: %d %s", a.status, a.body)
	}
	w.do("POST", "/grpc.health.v1.Health/Check", `{"service":"other"}`).problem(t, 404, "unknown service")
	w.stop()
}

// So is the service by which gRPC's implementations are tested against one another.
func TestInterop(t *testing.T) {
	server := grpc.NewServer()
	interopv1.RegisterTestServiceServer(server, interop.NewTestServer())
	reflection.Register(server)
	w := start(t, upstreams(serve(t, server))+"expose: [grpc.testing.TestService/*]\n")
	const service = "/grpc.testing.TestService/"

	sizes := []int{31415, 9, 2653, 58979}
	body := map[string]any{}
	for _, n := range sizes {
		list, _ := body["responseParameters"].([]any)
		body["responseParameters"] = append(list, map[string]any{"size": n, "intervalUs": 10})
	}
	s := w.post(service+"StreamingOutputCall", mustJSON(t, body))
	for i, n := range sizes {
		var reply struct{ Payload struct{ Body string } }
		e := s.expect("grpc.testing.StreamingOutputCallResponse")
		if err := json.Unmarshal([]byte(e.Data), &reply); err != nil {
			t.Fatal(err)
		}
		payload, err := base64.StdEncoding.DecodeString(reply.Payload.Body)
		if err != nil || len(payload) != n {
			t.Errorf("event %d has %d bytes (%v), want %d", i, len(payload), err, n)
		}
	}
	s.expect("stream.end", `"code":0`)
	s.over()

	w.do("POST", service+"StreamingOutputCall", `{"responseParameters":[{"size":-1}]}`).problem(t, 500)
	if a := w.do("POST", service+"EmptyCall", "{}"); a.status != 200 || a.body != "{}\n" {
		t.Errorf("EmptyCall: %d %q", a.status, a.body)
	}
	w.do("POST", service+"UnaryCall", `{"responseStatus":{"code":2,"message":"test status message"}}`).problem(t, 500, "test status message")
	if a := w.do("POST", service+"UnaryCall", `{"responseSize":`+strconv.Itoa(314159)+`}`); a.status != 200 || len(a.body) < 314159 {
		t.Errorf("UnaryCall: %d with %d bytes", a.status, len(a.body))
	}
	w.do("POST", service+"UnimplementedCall", "{}").problem(t, 501)
	w.do("POST", service+"FullDuplexCall", "{}").problem(t, 501, "FullDuplexCall", "streams requests")
	w.stop()
}

// demoServer is the demo backend with the methods of a server.
type demoServer struct {
	*demo.Server
	ctx  context.Context
	stop context.CancelFunc
}

func newDemo() *demoServer {
	d := &demoServer{Server: demo.NewServer(demo.Options{})}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// Serve serves until Stop.
func (d *demoServer) Serve(l net.Listener) error { return d.Server.Serve(d.ctx, l) }

// Stop ends what runs.
func (d *demoServer) Stop() { d.stop() }

// The example backend, by its options alone.
func TestDemo(t *testing.T) {
	w := start(t, upstreams(serve(t, newDemo())))
	prices := w.get("/v1/prices")
	prices.expect("stream.bookmark") // its reader is the first: the snapshot is empty
	for range 3 {
		prices.expect("price")
	}
	prices.leave()

	chat := w.post("/v1/chat", `{"prompt":"hello","tokensPerSecond":1000,"maxTokens":3}`)
	var types []string
	for {
		e := chat.next()
		if types = append(types, e.Type); e.Type == "stream.end" {
			break
		}
	}
	if types[0] != "start" || !slices.Contains(types, "token") || types[len(types)-2] != "complete" {
		t.Errorf("types of events %v", types)
	}

	a := w.do("POST", "/v1/tasks", `{"title":"test","steps":2,"durationMs":100}`)
	var started struct{ Task struct{ TaskID string } }
	if err := json.Unmarshal([]byte(a.body), &started); err != nil || started.Task.TaskID == "" {
		t.Fatalf("StartTask: %v: %d %s", err, a.status, a.body)
	}
	task := w.get("/v1/tasks/" + started.Task.TaskID + "/events")
	for task.next().Type != "stream.end" {
	}
	task.over()
	w.do("GET", "/v1/tasks/nothing/events", "").problem(t, 404)
	w.stop()
}
