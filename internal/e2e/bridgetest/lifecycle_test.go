package bridgetest_test

import (
	"strings"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// Whoever sees the bridge ready finds the routes.
func TestReadyMeansRouted(t *testing.T) {
	b, address := scripted(t)
	b.Define("end")
	for range 20 {
		w := launch(t, upstreams(address))
		eventually(t, "/readyz says 200", func() bool {
			a := w.adminGet("/readyz")
			if a.status != 200 && (a.status != 503 || !strings.Contains(a.body, "upstream script")) {
				t.Fatalf("/readyz: %d %q", a.status, a.body)
			}
			return a.status == 200
		})
		w.get("/v1/play/end").expect("stream.end", `"code":0`)
		w.stop()
	}
}

func TestBackendDownAtStart(t *testing.T) {
	p := newPort(t)
	w := launch(t, upstreams(p.address))
	if a := w.adminGet("/readyz"); a.status != 503 {
		t.Errorf("/readyz: %d %q, want 503", a.status, a.body)
	}
	w.log.await(t, "upstream=script", "could not be read", "connection refused")
	for _, r := range []struct{ verb, path, body string }{
		{"GET", "/v1/play/hello", ""}, {"GET", "/no/such/path", ""}, {"POST", "/v1/play", `{"script":"hello"}`},
	} {
		w.do(r.verb, r.path, r.body, asEventSource).busy(t, "starting")
		a := w.do(r.verb, r.path, r.body)
		a.problem(t, 503, "starting", "schema")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", r.verb, r.path)
		}
	}

	b := script.New()
	b.Define("hello", script.Note("hello"))
	p.up(b.NewServer())
	w.awaitReady()
	if a := w.adminGet("/readyz"); a.status != 200 {
		t.Errorf("/readyz: %d %q, want 200", a.status, a.body)
	}
	w.get("/v1/play/hello").expect("note", "hello")
	w.do("GET", "/no/such/path", "", asEventSource).problem(t, 404, "no method has this path")
	w.stdout.await(t, "/v1/play/{script}")

	// It stays ready when the backend goes away later.
	p.down()
	w.log.await(t, "the backend cannot be reached")
	if a := w.adminGet("/readyz"); a.status != 200 {
		t.Errorf("/readyz without the backend: %d %q, want 200", a.status, a.body)
	}
	w.do("GET", "/no/such/path", "", asEventSource).problem(t, 404)
	w.stop()
}

// A backend that restarts in mid-stream: what came by GET is started again, and the page is told that it is.
func TestBackendRestarts(t *testing.T) {
	p := newPort(t)
	b := script.New()
	b.Define("run", script.Note("before"), script.Gate("never"))
	p.up(b.NewServer())
	w := start(t, upstreams(p.address))
	s := w.get("/v1/play/run")
	before := s.expect("note", "before")
	p.down()
	waiting := s.expect("stream.waiting", `"code":14`, `"attempt":1`, `"retryInMs":`)
	if waiting.HasID {
		t.Errorf("stream.waiting has the id %s", waiting.ID)
	}
	b.Define("run", script.Note("after"))
	p.up(b.NewServer())
	reset := s.after("stream.reset", `{"reason":"upstream_restarted"}`)
	after := s.expect("note", "after")
	s.expect("stream.end", `"code":0`)
	s.over()

	// Who was away for all of it reads the same.
	again := w.get("/v1/play/run", from(before.ID))
	if data := again.openData(); !data.Resumed {
		t.Errorf("stream.open: %s, want it resumed", again.opening.Data)
	}
	if e := again.expect("stream.reset"); e.ID != reset.ID || e.Data != reset.Data {
		t.Errorf("replayed reset %+v, want %+v", e, reset)
	}
	if e := again.expect("note"); e.ID != after.ID || e.Data != after.Data {
		t.Errorf("replayed event %+v, want %+v", e, after)
	}
	w.stop()
}

// What came by POST, or says on_lost: END, is never run twice: it ends.
func TestBackendRestartsUnderEND(t *testing.T) {
	p := newPort(t)
	b := script.New()
	b.Define("run", script.Note("before"), script.Gate("never"))
	p.up(b.NewServer())
	w := start(t, upstreams(p.address)+
		"rules: [{selector: demo.script.v1.ScriptService.Chain, stream: {on_lost: END}}]\n")
	streams := map[string]*stream{
		"POST": w.post("/v1/play", `{"script":"run","stream":"post"}`),
		"END":  w.get("/v1/chain/end?count=0&every=3600s"),
	}
	streams["POST"].expect("note", "before")
	streams["END"].expect("link", `"n":"1"`)
	p.down()
	p.up(b.NewServer())
	for name, s := range streams {
		s.expect("stream.end", `"code":14`, "the backend cannot be reached")
		s.over()
		if n := len(b.Calls(strings.ToLower(name))); n != 1 {
			t.Errorf("%s: %d calls, want 1", name, n)
		}
	}
	// And an unknown cursor starts nothing either.
	s := w.get("/v1/chain/other", from("1.AAAAAAAAAAAAAAAA"))
	s.expect("stream.end", `"code":5`, "not started again")
	s.over()
	if n := len(b.Calls("other")); n != 0 {
		t.Errorf("an unknown cursor made %d calls under END", n)
	}
	w.stop()
}

// A restart with another schema: new streams have the field that was added, a method that was removed is 404, and the
// log says so.
func TestSchemaChangesAcrossARestart(t *testing.T) {
	p := newPort(t)
	watched, other := watch("Watch", get("/v1/watch")), watch("Other", get("/v1/other"))
	p.up(newDynamic(t, descriptors(t, watched+other)).server())
	w := start(t, upstreams(p.address)+"expose: [test.v1.Items/Other]\n")
	w.get("/v1/watch?level=HIGH").expect("test.v1.Event", `{"method":"Watch","request":{"level":"HIGH"}}`)
	w.do("GET", "/v1/watch?added=x", "").problem(t, 400, "added", "unknown query parameter")
	w.get("/v1/other").expect("test.v1.Event", "Other")

	p.down()
	field := `field { name: "added" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL } field { name: "level"`
	fresh := descriptors(t, watched+watch("New", get("/v1/new")), `field { name: "level"`, field)
	p.up(newDynamic(t, fresh).server())
	w.log.await(t, "the routes have changed", "added=test.v1.Items.New", "removed=test.v1.Items.Other")
	w.log.await(t, "level=WARN", "test.v1.Items/Other", "matches no method")
	w.get("/v1/watch?added=x").expect("test.v1.Event", `{"method":"Watch","request":{"added":"x"}}`)
	w.get("/v1/new").expect("test.v1.Event", "New")
	w.do("GET", "/v1/other", "", asEventSource).problem(t, 404, "no method has this path")
	w.do("GET", "/test.v1.Items/Other", "").problem(t, 404)
	w.stop()
}

// A later schema that makes no sense changes nothing, and the next good one is taken.
func TestBadSchemaAfterARestart(t *testing.T) {
	p := newPort(t)
	one, two := watch("One", get("/v1/{name}")), watch("Two", get("/v1/{level}"))
	p.up(newDynamic(t, descriptors(t, one)).server())
	w := start(t, upstreams(p.address))
	p.down()
	p.up(newDynamic(t, descriptors(t, one+two)).server())
	w.log.await(t, "level=ERROR", "upstream=script", "routes stay as they were", "test.v1.Items.One", "test.v1.Items.Two", "match the same paths")
	w.get("/v1/a").expect("test.v1.Event", "One")
	if a := w.adminGet("/readyz"); a.status != 200 {
		t.Errorf("/readyz: %d %s, want 200", a.status, a.body)
	}
	p.down()
	p.up(newDynamic(t, descriptors(t, strings.Replace(one, "One", "Only", 1))).server())
	w.log.await(t, "the routes have changed", "added=test.v1.Items.Only", "removed=test.v1.Items.One")
	w.get("/v1/a").expect("test.v1.Event", "Only")
	w.stop()
}

// A backend that answers UNIMPLEMENTED has changed without a new connection, behind a proxy for example.
func TestUnimplementedRefreshesTheSchema(t *testing.T) {
	d := newDynamic(t, descriptors(t, watch("Old", get("/v1/old"))))
	w := start(t, upstreams(serve(t, d.server())))
	w.get("/v1/old").expect("test.v1.Event", "Old")
	d.become(descriptors(t, watch("New", get("/v1/new"))))
	w.do("GET", "/v1/old", "").problem(t, 501, "unknown method test.v1.Items.Old")
	w.log.await(t, "the routes have changed", "added=test.v1.Items.New", "removed=test.v1.Items.Old")
	w.get("/v1/new").expect("test.v1.Event", "New")
	w.do("GET", "/v1/old", "").problem(t, 404)
}

// An upgrade in mid-stream: what the restarted call sends is read by the new schema, as soon as that is there.
func TestSchemaChangesUnderAStream(t *testing.T) {
	p := newPort(t)
	method := watch("Watch", get("/v1/watch"))
	d := newDynamic(t, descriptors(t, method))
	d.hold = make(chan struct{})
	p.up(d.server())
	w := start(t, upstreams(p.address))
	s := w.get("/v1/watch")
	s.expect("test.v1.Event", `{"method":"Watch","request":{}}`)
	p.down()
	s.expect("stream.waiting")
	d = newDynamic(t, descriptors(t, method+watch("New", get("/v1/new")), `name: "method"`, `name: "served_by" json_name: "servedBy"`))
	d.hold = make(chan struct{})
	p.up(d.server())
	s.after("stream.reset", "upstream_restarted")
	s.expect("test.v1.Event", `"Watch"`) // the call may have been faster than the new schema
	w.log.await(t, "the routes have changed", "added=test.v1.Items.New")
	close(d.hold)
	s.expect("test.v1.Event", `{"servedBy":"Watch","request":{}}`)
	s.expect("stream.end", `"code":0`)
	s.over()
	w.stop()
}

func TestTwoUpstreams(t *testing.T) {
	b, first := scripted(t)
	b.Define("hello", script.Note("hello"))
	p := newPort(t)
	w := launch(t, "upstreams: [{name: script, target: '"+first+"'}, {name: items, target: '"+p.address+"'}]\n"+impatient)

	// The one that is there is served; of what the other one has nothing is known yet.
	eventually(t, "the first upstream is routed", func() bool {
		return w.do("GET", "/v1/echo/x", "").status == 200
	})
	w.get("/v1/play/hello").expect("note", "hello")
	w.do("GET", "/v1/items/a", "", asEventSource).busy(t, "starting")
	if a := w.adminGet("/readyz"); a.status != 503 || strings.Contains(a.body, "upstream script") || !strings.Contains(a.body, "upstream items") {
		t.Errorf("/readyz: %d %q, want 503 that names items alone", a.status, a.body)
	}
	p.up(newDynamic(t, descriptors(t, watch("Watch", get("/v1/items/{name}")))).server())
	w.awaitReady()
	w.get("/v1/items/a").expect("test.v1.Event", "Watch")
	w.get("/v1/play/hello").expect("note", "hello")
	w.do("GET", "/v1/nothing", "", asEventSource).problem(t, 404)

	// One that goes away takes nothing of the other with it.
	p.down()
	w.get("/v1/items/a").expect("stream.waiting")
	w.get("/v1/play/hello").expect("note", "hello")
	await(t, b, "", func(calls []*scriptv1.Call) bool { return len(calls) == 3 })
	w.stop()
}
