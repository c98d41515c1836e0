package bridgetest_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// describedItems writes a descriptor set of one unary-less service to a file, and returns the config of an upstream that
// is described by it: it needs no backend to have routes.
func describedItems(t *testing.T, target, methods string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "items.binpb")
	if err := os.WriteFile(file, descriptorSet(t, descriptors(t, methods)), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("upstreams: [{name: items, target: '%s', descriptor_set: '%s'}]\n", target, file)
}

// unary is a method that answers once.
func unary(name, options string) string {
	return strings.Replace(watch(name, options), "server_streaming: true", "", 1)
}

// oneOfEach has a stream and a unary method.
var oneOfEach = watch("Watch", `[google.api.http] { get: "/v1/items/{name}" additional_bindings { post: "/v1/items" body: "*" } }`) +
	unary("Get", get("/v1/one/{name}"))

// fakeHTTP is a server of something else than gRPC. It answers every request with an HTML page and a 503, like a proxy
// whose backend is away.
type fakeHTTP struct{ http.Server }

func newFakeHTTP(http2 bool) *fakeHTTP {
	f := &fakeHTTP{}
	f.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html>secret-host-7 is down</html>")
	})
	f.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	f.Protocols = new(http.Protocols)
	f.Protocols.SetHTTP1(!http2)
	f.Protocols.SetUnencryptedHTTP2(http2)
	return f
}

func (f *fakeHTTP) Stop() { _ = f.Close() }

// A backend that cannot be reached, or that is none, holds a stream that nothing has been sent of yet: the page is told,
// and gets its events when the backend is there. A unary call says 503.
func TestUnreachableBackend(t *testing.T) {
	for _, test := range []struct {
		name   string
		server server // nil: nobody listens
	}{
		{"nobody listens", nil},
		{"HTTP/1 server", newFakeHTTP(false)},
		{"proxy that answers 503 in HTML", newFakeHTTP(true)},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPort(t)
			if test.server != nil {
				p.up(test.server)
			}
			w := start(t, describedItems(t, p.address, oneOfEach)+impatient)
			s := w.get("/v1/items/a")
			s.expect("stream.waiting", `{"code":14,"attempt":`, `"retryInMs":`)
			a := w.do("GET", "/v1/one/a", "")
			a.problem(t, 503, "the backend cannot be reached")
			for _, secret := range []string{p.address, "secret-host", "html", "dial"} {
				if strings.Contains(a.body, secret) {
					t.Errorf("the answer tells %q: %s", secret, a.body)
				}
			}
			p.down()
			p.up(newDynamic(t, descriptors(t, oneOfEach)).server())
			s.after("test.v1.Event", `"name":"a"`)
			s.after("stream.end", `"code":0`)
			s.over()
		})
	}
}

// A call that must not be repeated is held as well while it has not left the bridge: the backend has not seen it.
func TestUnreachableBackendHoldsPOST(t *testing.T) {
	p := newPort(t)
	w := start(t, describedItems(t, p.address, oneOfEach)+impatient)
	s := w.post("/v1/items", `{"name":"a"}`)
	s.expect("stream.waiting", `"code":14`)
	p.up(newDynamic(t, descriptors(t, oneOfEach)).server())
	s.after("test.v1.Event", `"name":"a"`)
	s.after("stream.end", `"code":0`)
}

// A backend that is no gRPC server, or has no reflection, is named in the log with what to do; the bridge waits for it.
func TestSchemaCannotBeRead(t *testing.T) {
	plain := grpc.NewServer()
	healthv1.RegisterHealthServer(plain, health.NewServer())
	for _, test := range []struct {
		name   string
		server server
		says   []string
	}{
		{"no reflection", plain, []string{"no gRPC server reflection", "register the reflection service", "--descriptor-set"}},
		{"HTTP/1 server", newFakeHTTP(false), []string{"HTTP/1"}},
		{"proxy that answers 503 in HTML", newFakeHTTP(true), []string{"503"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := launch(t, upstreams(serve(t, test.server)))
			w.log.await(t, append(test.says, "level=WARN", "upstream=script", "schema could not be read")...)
			if a := w.adminGet("/readyz"); a.status != 503 || !holdsAll(a.body, append(test.says, "upstream script")) {
				t.Errorf("/readyz: %d %q, want 503 that names the upstream", a.status, a.body)
			}
			if a := w.adminGet("/healthz"); a.status != 200 {
				t.Errorf("/healthz: %d, want 200", a.status)
			}
			w.do("GET", "/v1/items/a", "", asEventSource).busy(t, "starting")
			a := w.do("GET", "/v1/items/a", "")
			a.problem(t, 503, "has not read the schema")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

func TestMessageOverTheLimit(t *testing.T) {
	b, address := scripted(t)
	b.Define("large", script.Event(0, "x", 5000))
	b.Define("later", script.Note("small"), script.Event(0, "x", 5000))
	w := start(t, upstreams(address)+
		"rules: [{selector: demo.script.v1.ScriptService.Play, stream: {max_message_bytes: 1024}}]\n")
	says := []string{"demo.script.v1.ScriptService/Play", "1024 bytes", "max_message_bytes"}
	t.Run("first", func(t *testing.T) {
		// The backend's headers come before the message: where the bridge sees them first, the head has left already.
		a := w.do("GET", "/v1/play/large?stream=first", "")
		if a.status == 500 {
			a.problem(t, 500, says...)
		} else if a.status != 200 || !holdsAll(a.body, append(says, "event: stream.end", `"code":8`)) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("later", func(t *testing.T) {
		s := w.get("/v1/play/later?stream=later")
		s.expect("note", "small")
		s.expect("stream.end", append(says, `"code":8`, `"status":"RESOURCE_EXHAUSTED"`)...)
		s.over()
	})
	for _, name := range []string{"first", "later"} {
		if n := len(b.Calls(name)); n != 1 {
			t.Errorf("the backend was called %d times for %q, want once: the same message would come again", n, name)
		}
	}
}

// What cannot be shown is an event of its own, with its place in the order, and the stream goes on.
func TestUndecodableMessages(t *testing.T) {
	b, address := scripted(t)
	b.Define("odd",
		script.Note("before"),
		script.Any(&anypb.Any{TypeUrl: "type.googleapis.com/nobody.knows.This", Value: []byte{8, 1}}),
		script.Raw([]byte{0x12, 2, 0xff, 0xfe}), // stream, a string, is not UTF-8
		script.Raw([]byte{0x0a}),                // a field without its length
		script.Note("after"))
	w := start(t, upstreams(address))
	s := w.get("/v1/play/odd")
	s.expect("note", "before")
	s.expect("stream.undecodable", `"type":"demo.script.v1.PlayResponse"`, `"reason":"unknown type in Any"`, `"size":`)
	s.expect("stream.undecodable", "UTF-8", `"size":4`)
	third := s.expect("stream.undecodable", `"size":1`)
	last := s.expect("note", "after")
	s.expect("stream.end", `"code":0`)

	w.log.await(t, "level=WARN", "method=demo.script.v1.ScriptService.Play", "nobody.knows.This")
	if n := strings.Count(w.log.String(), "cannot be shown"); n != 1 {
		t.Errorf("%d lines in the log, want 1", n)
	}

	again := w.get("/v1/play/odd", from(third.ID))
	if e := again.expect("note", "after"); e.ID != last.ID || e.Data != last.Data {
		t.Errorf("after the last undecodable message: %+v, want %+v", e, last)
	}
}

func TestBackendPanics(t *testing.T) {
	b, address := scripted(t)
	b.Define("first", script.Panic("/secret/path.go:1"))
	b.Define("later", script.Note("a"), script.Panic("/secret/path.go:1"))
	w := start(t, upstreams(address))
	w.do("GET", "/v1/play/first", "").problem(t, 500, "the handler panicked")
	s := w.get("/v1/play/later")
	s.expect("note", `"text":"a"`)
	e := s.expect("stream.end", `"code":13`, `"status":"INTERNAL"`)
	s.over()
	if strings.Contains(e.Data, "secret") {
		t.Errorf("the end tells what the backend did not say: %s", e.Data)
	}
	if a := w.do("GET", "/v1/play/later", "", from(s.lastID)); a.status != 204 {
		t.Errorf("after the end: %d, want 204", a.status)
	}
	if n := len(b.Calls("")); n != 2 {
		t.Errorf("%d calls, want 2: one for each request", n)
	}
}

// A process that dies (nothing but a cut connection is seen of it) is another matter: the call is started again where
// it may be.
func TestBackendDies(t *testing.T) {
	b, address := scripted(t)
	b.Define("dies", script.Note("a"), script.Gate("die"), script.Drop())
	w := start(t, upstreams(address))

	t.Run("GET", func(t *testing.T) {
		s := w.get("/v1/play/dies?stream=get")
		first := s.expect("note", `"n":"1"`)
		b.Define("dies", script.Note("b"))
		b.Open("die")
		reset := s.after("stream.reset", `{"reason":"upstream_restarted"}`)
		second := s.expect("note", `"text":"b"`)
		s.expect("stream.end", `"code":0`)
		if !(number(t, first.ID) < number(t, reset.ID) && number(t, reset.ID) < number(t, second.ID)) {
			t.Errorf("ids %s, %s, %s: they must rise", first.ID, reset.ID, second.ID)
		}
	})
	t.Run("POST", func(t *testing.T) {
		b.Define("dies", script.Note("a"), script.Gate("die again"), script.Drop())
		s := w.post("/v1/play", `{"script":"dies","stream":"post"}`)
		s.expect("note", `"text":"a"`)
		b.Open("die again")
		s.expect("stream.end", `"code":14`, "the backend cannot be reached")
		s.over()
		if n := len(b.Calls("post")); n != 1 {
			t.Errorf("%d calls, want 1: a POST is not repeated", n)
		}
	})
}

// number is the position in an id.
func number(t testing.TB, id string) uint64 {
	t.Helper()
	var n uint64
	if _, err := fmt.Sscanf(id, "%d.", &n); err != nil {
		t.Fatalf("id %q: %v", id, err)
	}
	return n
}

// A backend that sends nothing at all does not hold the head back for longer than the window.
func TestSilentBackend(t *testing.T) {
	b, address := scripted(t)
	b.Define("silent", script.Gate("speak"), script.Note("a"))
	w := start(t, upstreams(address)+"open_window: 0.01s\n")
	s := w.get("/v1/play/silent")
	calls := b.Calls("")
	if len(calls) != 1 || calls[0].GetSent() != 0 || calls[0].GetEnded() {
		t.Fatalf("calls %v: want one that runs and has sent nothing", calls)
	}
	b.Open("speak")
	e := s.expect("note", `"text":"a"`)
	if number(t, s.opening.ID)+1 != number(t, e.ID) {
		t.Errorf("stream.open has id %s, the first event %s: want the position just before", s.opening.ID, e.ID)
	}
}

// An error inside the window is a status, also when the backend takes its time over it; after the window it is an event.
func TestWindow(t *testing.T) {
	b, address := scripted(t)
	b.Define("refuse", script.Gate("refuse"), script.Fail(codes.PermissionDenied, "not for you"))
	t.Run("inside", func(t *testing.T) {
		w := start(t, upstreams(address)+"open_window: 10s\n")
		go func() {
			_ = b.Await(context.WithoutCancel(t.Context()), "inside", script.Begun(1))
			b.Open("refuse")
		}()
		w.do("GET", "/v1/play/refuse?stream=inside", "").problem(t, 403, "not for you")
		// A cursor that leads nowhere starts the call anew, and so does its window.
		w.do("GET", "/v1/play/refuse?stream=inside", "", from("x")).problem(t, 403, "not for you")
	})
	t.Run("after", func(t *testing.T) {
		b.Define("refuse", script.Gate("refuse later"), script.Fail(codes.PermissionDenied, "not for you"))
		w := start(t, upstreams(address)+impatient)
		s := w.get("/v1/play/refuse?stream=after")
		b.Open("refuse later")
		s.expect("stream.end", `"code":7`, "not for you")
		s.over()
	})
}
