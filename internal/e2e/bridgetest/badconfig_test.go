package bridgetest_test

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

// refused checks that a config is refused, at whichever step finds the mistake: reading it, checking it, making the
// bridge, or running it against its backends.
func refused(t *testing.T, yaml string, parts ...string) {
	t.Helper()
	err := attempt(t, "listen: 127.0.0.1:0\nadmin: \"off\"\n"+yaml)
	if err == nil {
		t.Fatal("no error")
	}
	if !holdsAll(err.Error(), parts) {
		t.Errorf("the error says\n  %v\nwant all of %q", err, parts)
	}
}

func attempt(t *testing.T, yaml string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(file)
	if err != nil {
		return err
	}
	s, err := loaded.Resolve()
	if err != nil {
		return err
	}
	b, err := bridge.New(s, bridge.Options{Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard})
	if err != nil {
		return err
	}
	return b.Run(guarded(t))
}

// write makes a file with this content and returns its path.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBadConfig(t *testing.T) {
	_, address := scripted(t)
	for _, test := range []struct {
		name, yaml string
		says       []string
	}{
		{"unknown key", upstreams(address) + "heartbaet: 5s\n", []string{"bridge.yaml:4:1", "heartbaet", "heartbeat"}},
		{"unknown key in a list", "upstreams: [{name: a, traget: x:1}]\n", []string{"bridge.yaml:3:", "traget", "target"}},
		{"unknown key in a stream rule", upstreams(address) + "rules: [{selector: a.B.C, stream: {lingr: 3s}}]\n", []string{"bridge.yaml:4:", "lingr", "linger"}},
		{"no upstream", "heartbeat: 5s\n", []string{"upstream"}},
		{"bad target", "upstreams: [{target: 'http://localhost:9090'}]\n", []string{"bridge.yaml:3:", "upstreams[0].target", "URL", "localhost:9090"}},
		{"bad duration", upstreams(address) + "heartbeat: 5 minutes\n", []string{"bridge.yaml:4:", "heartbeat"}},
		{"out of bounds", upstreams(address) + "heartbeat: 5m\n", []string{"heartbeat", "60s"}},
		{"origin that is none", upstreams(address) + "cors: {origins: ['*']}\n", []string{"cors.origins[0]", "*"}},
		{"forwarded header of gRPC's own", upstreams(address) + "forward_metadata: {headers: [grpc-timeout]}\n", []string{"forward_metadata.headers[0]", "grpc-timeout"}},
		{"two rules for one method", upstreams(address) + "rules: [{selector: a.B.C}, {selector: a.B/C}]\n", []string{"rules[1].selector", "rule already"}},
		{"pattern that names no method", upstreams(address) + "expose: ['demo.script.v1.ScriptService/Paly']\n", []string{"demo.script.v1.ScriptService/Paly", "matches no method", "Play"}},
		{"rule that names no method", upstreams(address) + "rules: [{selector: demo.script.v1.ScriptService.Paly, stream: {}}]\n", []string{"rules[0]", "ScriptService.Paly", "matches no method", "Play"}},
		{"stream rule on a unary method", upstreams(address) + "rules: [{selector: demo.script.v1.ScriptService.Echo, stream: {linger: 3s}}]\n", []string{"rules[0]", "Echo", "server-streaming"}},
		{"rule whose variable is no field", upstreams(address) + "rules: [{selector: demo.script.v1.ScriptService.Play, http: {get: '/v1/{scropt}'}}]\n", []string{"rules[0]", "scropt", "script"}},
		{"two documents", upstreams(address) + "---\n", []string{"second document"}},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, test.yaml, test.says...) })
	}
}

func TestListenAddressIsTaken(t *testing.T) {
	_, address := scripted(t)
	w := start(t, upstreams(address))
	taken := w.bridge.Addr().String()
	if err := attempt(t, "listen: "+taken+"\nadmin: \"off\"\n"+upstreams(address)); err == nil || !holdsAll(err.Error(), []string{taken, "--listen", "in use"}) {
		t.Errorf("listen: %v", err)
	}
	if err := attempt(t, "listen: 127.0.0.1:0\nadmin: "+taken+"\n"+upstreams(address)); err == nil || !holdsAll(err.Error(), []string{taken, "--admin", "in use"}) {
		t.Errorf("admin: %v", err)
	}
}

// Two methods on one route are an error before anything is served, wherever the routes come from.
func TestTwoMethodsOnOneRoute(t *testing.T) {
	both := []string{"test.v1.Items.One", "test.v1.Items.Two", "match the same paths", "change one of them"}
	one, two := watch("One", get("/v1/{name}")), watch("Two", get("/v1/{level}"))
	t.Run("reflection", func(t *testing.T) {
		refused(t, upstreams(serve(t, newDynamic(t, descriptors(t, one+two)).server())), both...)
	})
	t.Run("reflection, the other order", func(t *testing.T) {
		refused(t, upstreams(serve(t, newDynamic(t, descriptors(t, two+one)).server())), both...)
	})
	t.Run("descriptor set", func(t *testing.T) {
		refused(t, describedItems(t, "127.0.0.1:1", one+two), both...)
	})
	t.Run("a rule of the config", func(t *testing.T) {
		refused(t, upstreams(serve(t, newDynamic(t, descriptors(t, one+watch("Two", get("/v1/other/{name}")))).server()))+
			"rules: [{selector: test.v1.Items.Two, http: {get: '/v1/{name}'}}]\n", append(both, "rules[0]")...)
	})
	t.Run("one service of two upstreams", func(t *testing.T) {
		file := descriptors(t, one)
		a, b := serve(t, newDynamic(t, file).server()), serve(t, newDynamic(t, file).server())
		refused(t, "upstreams: [{name: east, target: '"+a+"'}, {name: west, target: '"+b+"'}]\n",
			"test.v1.Items.One", `"east"`, `"west"`, "both offer it", "descriptor_set")
	})
}

func TestInvalidDescriptorSet(t *testing.T) {
	good := descriptorSet(t, descriptors(t, watch("Watch", get("/v1/watch"))))
	lacking := descriptors(t, watch("Watch", get("/v1/watch")))
	lacking.Dependency = append(lacking.Dependency, "acme/missing.proto")
	undefined := descriptors(t, watch("Watch", get("/v1/watch")))
	undefined.MessageType = undefined.MessageType[1:]
	for _, test := range []struct {
		name string
		data []byte
		says []string
	}{
		{"no descriptors at all", []byte("syntax = \"proto3\";"), []string{"bridge.yaml:3:", "upstreams[0].descriptor_set", "set.binpb", "not a serialized FileDescriptorSet", "buf build"}},
		{"empty", nil, []string{"set.binpb", "not a serialized FileDescriptorSet"}},
		{"cut off", good[:len(good)-7], []string{"set.binpb", "not a serialized FileDescriptorSet"}},
		{"an import is missing", descriptorSet(t, lacking), []string{"upstream items", "set.binpb", "test/items.proto", "acme/missing.proto", "--include_imports"}},
		{"a type is missing", descriptorSet(t, undefined), []string{"upstream items", "set.binpb", "test/items.proto", "Request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused(t, "upstreams: [{name: items, target: 'localhost:1', descriptor_set: '"+write(t, "set.binpb", test.data)+"'}]\n", test.says...)
		})
	}
	t.Run("no such file", func(t *testing.T) {
		refused(t, "upstreams: [{name: items, target: 'localhost:1', descriptor_set: nowhere.binpb}]\n",
			"bridge.yaml:3:", "descriptor_set", "nowhere.binpb", "no such file")
	})
}

// With a descriptor set no reflection is needed, and the routes are there before the backend is.
func TestDescriptorSetUpstream(t *testing.T) {
	p := newPort(t)
	w := start(t, describedItems(t, p.address, oneOfEach)+impatient)
	w.stdout.await(t, "/v1/items/{name}")
	s := w.get("/v1/items/a")
	s.expect("stream.waiting")
	w.do("GET", "/v1/nothing", "", asEventSource).problem(t, 404)
	p.up(newDynamic(t, descriptors(t, oneOfEach)).server())
	s.after("test.v1.Event", `{"method":"Watch","request":{"name":"a"}}`)
	a := w.do("GET", "/v1/one/b", "")
	if a.status != 200 || a.body != `{"method":"Get","request":{"name":"b"}}`+"\n" {
		t.Errorf("unary: %d %s", a.status, a.body)
	}
	w.stop()
}
