package bridgetest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// echoed is what Echo answers: the metadata that the backend got.
func (a answer) echoed(t testing.TB) map[string]string {
	t.Helper()
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %q: %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	var reply struct{ Metadata map[string]string }
	if err := json.Unmarshal([]byte(a.body), &reply); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return reply.Metadata
}

// own are the keys that gRPC and the bridge's client add by themselves.
var own = []string{":authority", "content-type", "user-agent", "grpc-accept-encoding"}

// everything are headers as browsers and attackers send them.
func everything(r *http.Request) {
	for name, value := range map[string]string{
		"Authorization": "Bearer browser", "Accept-Language": "ko", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Tracestate": "a=b", "X-Request-Id": "r1", "Cookie": "session=1", "X-Tenant": "browser", "X-Forwarded-For": "1.2.3.4",
		"Grpc-Metadata-X-User": "root", "Grpc-Timeout": "7H", "X-Secret-Bin": "AAAA", "User-Agent": "browser", "Te": "trailers",
	} {
		r.Header.Set(name, value)
	}
}

// forwarded are the keys that the backend got and neither gRPC nor the bridge made.
func forwarded(md map[string]string) map[string]string {
	rest := maps.Clone(md)
	for _, key := range own {
		delete(rest, key)
	}
	return rest
}

func TestMetadata(t *testing.T) {
	b, address := scripted(t)
	b.Define("end", script.Note("a"))
	for _, test := range []struct {
		name, yaml string
		want       map[string]string
	}{
		{"default", upstreams(address), map[string]string{
			"authorization": "Bearer browser", "accept-language": "ko", "tracestate": "a=b", "x-request-id": "r1",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}},
		{"authorization is not listed", upstreams(address) + "forward_metadata: {headers: [x-tenant]}\n", map[string]string{"x-tenant": "browser"}},
		{"nothing is listed", upstreams(address) + "forward_metadata: {headers: []}\n", map[string]string{}},
		{
			"the bridge's own win", "upstreams: [{name: script, target: '" + address + "', metadata: {authorization: {value: Bearer bridge}, x-own: {value: o}}}]\n" +
				"forward_metadata: {headers: [authorization, x-tenant]}\n",
			map[string]string{"authorization": "Bearer bridge", "x-own": "o", "x-tenant": "browser"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := start(t, test.yaml)
			got := w.do("GET", "/v1/echo/x", "", everything).echoed(t)
			if rest := forwarded(got); !maps.Equal(rest, test.want) {
				t.Errorf("unary: the backend got %v, want %v", rest, test.want)
			}
			if got["user-agent"] == "browser" || !strings.HasPrefix(got["user-agent"], "grpc-sse") {
				t.Errorf("user-agent %q, want the bridge's", got["user-agent"])
			}
			name := strings.ReplaceAll(test.name, " ", "-")
			w.get("/v1/play/end?stream="+name, everything).expect("note")
			if rest := forwarded(b.Calls(name)[0].GetMetadata()); !maps.Equal(rest, test.want) {
				t.Errorf("stream: the backend got %v, want %v", rest, test.want)
			}
		})
	}
	t.Run("from the environment and a file", func(t *testing.T) {
		t.Setenv("BRIDGE_TOKEN", "Bearer env")
		w := start(t, "upstreams: [{name: script, target: '"+address+"', metadata: {authorization: {env: BRIDGE_TOKEN}, x-file: {file: '"+
			write(t, "secret", []byte("from a file\n"))+"'}}}]\n")
		got := forwarded(w.do("GET", "/v1/echo/x", "", header("Authorization", "Bearer browser")).echoed(t))
		if got["authorization"] != "Bearer env" || got["x-file"] != "from a file" {
			t.Errorf("the backend got %v", got)
		}
		if text := w.log.String() + w.stdout.String(); strings.Contains(text, "Bearer") || strings.Contains(text, "from a file") {
			t.Errorf("a secret is in the log:\n%s", text)
		}
	})
}

// A header that is to be forwarded and cannot be refuses the request: without it, it would mean something else.
func TestMetadataThatCannotBeForwarded(t *testing.T) {
	_, address := scripted(t)
	w := start(t, upstreams(address))
	w.do("GET", "/v1/echo/x", "", header("Authorization", "Bearer ünïcode")).problem(t, 400, "authorization", "not printable ASCII")
	w.do("GET", "/v1/echo/x", "", header("Authorization", strings.Repeat("x", 8000))).problem(t, 431, "authorization", "bytes in total")
}

func TestUnary(t *testing.T) {
	_, address := scripted(t)
	w := start(t, upstreams(address))
	a := w.do("GET", "/v1/echo/hello%20%3Cb%3E", "")
	if a.echoed(t); !strings.HasPrefix(a.body, `{"text":"hello \u003cb\u003e"`) || !strings.HasSuffix(a.body, "}\n") {
		t.Errorf("body %s", a.body)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Origin", "Accept", "Accept-Encoding"} {
		if vary := a.vary(); !slices.Contains(vary, name) {
			t.Errorf("Vary: %q, want %s among them", vary, name)
		}
	}
	if a := w.do("POST", "/v1/echo", `{"text":"posted"}`); !strings.Contains(a.body, `"text":"posted"`) {
		t.Errorf("POST: %d %s", a.status, a.body)
	}
	if a := w.do("POST", "/demo.script.v1.ScriptService/Echo", `{"text":"rpc"}`); !strings.Contains(a.body, `"text":"rpc"`) {
		t.Errorf("RPC path: %d %s", a.status, a.body)
	}
	if a := w.do("HEAD", "/v1/echo/x", ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
	w.do("GET", "/v1/echo/x", "", asEventSource).problem(t, 406, "application/json", "text/event-stream")
}

func TestUnaryErrors(t *testing.T) {
	_, address := scripted(t)
	w := start(t, upstreams(address))
	for code, status := range map[codes.Code]int{
		codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.OutOfRange: 400, codes.Unauthenticated: 401,
		codes.PermissionDenied: 403, codes.NotFound: 404, codes.AlreadyExists: 409, codes.Aborted: 409, codes.ResourceExhausted: 429,
		codes.Canceled: 499, codes.Unknown: 500, codes.Internal: 500, codes.DataLoss: 500, codes.Unimplemented: 501,
		codes.Unavailable: 503, codes.DeadlineExceeded: 504, 77: 500,
	} {
		t.Run(code.String(), func(t *testing.T) {
			body := mustJSON(t, map[string]any{"fail": map[string]any{"code": int(code), "message": "because"}})
			w.do("POST", "/v1/echo", body).problem(t, status, "because")
		})
	}
	t.Run("details", func(t *testing.T) {
		a := w.do("POST", "/v1/echo", `{"fail":{"code":3,"message":"bad","details":[
			{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}]}}`)
		a.problem(t, 400, "bad")
		if strings.Contains(a.body, "3s") {
			t.Errorf("a detail that is not on the list is shown: %s", a.body)
		}
	})
}

// The same statuses before the first event of a stream.
func TestStreamErrors(t *testing.T) {
	b, address := scripted(t)
	w := start(t, upstreams(address))
	for code, status := range map[codes.Code]int{
		codes.InvalidArgument: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.NotFound: 404,
		codes.AlreadyExists: 409, codes.Canceled: 499, codes.Internal: 500, codes.Unimplemented: 501,
	} {
		t.Run(code.String(), func(t *testing.T) {
			b.Define("first", script.Fail(code, "because"))
			w.do("GET", "/v1/play/first", "").problem(t, status, "because")
			b.Define("later", script.Note("a"), script.Fail(code, "because"))
			s := w.get("/v1/play/later")
			s.expect("note")
			s.expect("stream.end", `"code":`+mustJSON(t, int(code)), "because")
			s.over()
		})
	}
}

func TestClientStreams(t *testing.T) {
	upload := strings.Replace(watch("Upload", `[google.api.http] { post: "/v1/upload" body: "*" }`), "server_streaming", "client_streaming", 1)
	talk := strings.Replace(watch("Talk", ""), "server_streaming", "client_streaming: true server_streaming", 1)
	w := start(t, upstreams(serve(t, newDynamic(t, descriptors(t, upload+talk)).server()))+"expose: [test.v1.Items/Talk]\n")
	for path, name := range map[string]string{"/v1/upload": "Upload", "/test.v1.Items/Upload": "Upload", "/test.v1.Items/Talk": "Talk"} {
		w.do("POST", path, "{}").problem(t, 501, "test.v1.Items."+name, "streams requests", "call it by gRPC")
	}
	w.log.await(t, "test.v1.Items.Talk", "501")
}

// A method without an HTTP rule and without the option is not there, and the table of routes says what exposes it.
func TestNothingIsPublicByAccident(t *testing.T) {
	file := descriptors(t, watch("Watch", "")+unary("Get", ""))
	address := serve(t, newDynamic(t, file).server())
	w := start(t, upstreams(address))
	w.stdout.await(t, "--expose test.v1.Items/Watch")
	w.stdout.await(t, "--expose test.v1.Items/Get")
	w.do("POST", "/test.v1.Items/Watch", "{}").problem(t, 404)
	w.do("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "{}").problem(t, 404)

	w = start(t, upstreams(address)+"expose: ['*']\n")
	w.post("/test.v1.Items/Watch", "{}").expect("test.v1.Event", "Watch")
	if a := w.do("POST", "/test.v1.Items/Get", "{}"); a.status != 200 {
		t.Errorf("Get: %d %s", a.status, a.body)
	}
}

// One message type may differ between two backends: each has its own types.
func TestTypesOfTwoBackends(t *testing.T) {
	first := descriptors(t, watch("Watch", get("/v1/first")))
	second := proto.CloneOf(first)
	second.Service[0].Name = new("Others")
	proto.SetExtension(second.Service[0].Method[0].Options, httpRule, rule("/v1/second"))
	i := slices.IndexFunc(second.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == "Event" })
	second.MessageType[i].Field[0].Name = new("other_name")
	second.MessageType[i].Field[0].JsonName = new("otherName")
	w := start(t, "upstreams: [{name: a, target: '"+serve(t, newDynamic(t, first).server())+"'}, {name: b, target: '"+
		serve(t, newDynamic(t, second).server())+"'}]\n")
	w.get("/v1/first").expect("test.v1.Event", `{"method":"Watch"`)
	w.get("/v1/second").expect("test.v1.Event", `{"otherName":"Watch"`)
}

// The bridge names streams by Idempotency-Key; one on a unary call is none of its business.
func TestIdempotencyKeyOfAUnaryCall(t *testing.T) {
	_, address := scripted(t)
	w := start(t, upstreams(address))
	if a := w.do("GET", "/v1/echo/x", "", header("Idempotency-Key", "a.b")); a.status != 200 {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}
