package cli_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/grpc-sse/grpc-sse/internal/demo"
)

// listen listens on a free port.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// backend serves the demo backend until the test ends, and returns its address.
func backend(t *testing.T) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // 1: a failing test may not wait for it
	go func() { done <- demo.NewServer(demo.Options{}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("backend:", err)
		}
	})
	return l.Addr().String()
}

// plainBackend serves health, with or without reflection.
func plainBackend(t *testing.T, reflected bool) string {
	t.Helper()
	l := listen(t)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	if reflected {
		reflection.Register(server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ended by Stop
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return l.Addr().String()
}

// client makes requests whose connections do not outlive the test.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// firstEvent reads a stream up to its first event, and returns that event's type.
func firstEvent(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok && !strings.HasPrefix(name, "stream.") {
			return name
		}
	}
	t.Fatalf("%s: %s without an event", url, response.Status)
	return ""
}

var baseURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

func TestServe(t *testing.T) {
	c := start(t, "serve", "--upstream", "demo="+backend(t), "--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json", "--drain-window", "0s")
	table := c.stdout.waitFor(t, "Left out")
	base := baseURL.FindString(table)
	golden(t, "serve.txt", baseURL.ReplaceAllString(table, "http://127.0.0.1:8080"))
	if got := firstEvent(t, base+"/v1/prices"); got != "price" {
		t.Errorf("the first event is a %q", got)
	}
	checkCurl(t, table)
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d; log:\n%s", code, c.stderr)
	}
	for line := range strings.Lines(c.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("a line that is not JSON: %s", line)
		}
	}
}

// checkCurl runs the command that the table shows for prices.
func checkCurl(t *testing.T, table string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl here: its command is not tried")
		return
	}
	command := regexp.MustCompile(`(?m)^ +(curl -N '.*/v1/prices')$`).FindStringSubmatch(table)
	if command == nil {
		t.Fatalf("no curl command for prices in\n%s", table)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command[1]+" -s --max-time 10 | head -n 4").Output()
	if err != nil || !strings.Contains(string(out), "event: stream.open") {
		t.Errorf("%s: %v\n%s", command[1], err, out)
	}
}

func TestServeOnATakenPort(t *testing.T) {
	taken := listen(t).Addr().String()
	got := run(t.Context(), "serve", "--upstream", "127.0.0.1:1", "--listen", taken, "--admin", "off")
	if got.code != 1 || !strings.Contains(got.stderr, "grpc-sse: listen on "+taken+" (--listen): ") {
		t.Errorf("%+v", got)
	}
}

func TestRoutes(t *testing.T) {
	got := run(t.Context(), "routes", "--upstream", "demo="+backend(t), "--listen", "0.0.0.0:8080", "--expose", "grpc.health.v1.Health/Watch")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("exit %d: %s", got.code, got.stderr)
	}
	golden(t, "routes.txt", got.stdout)
}

// What cannot be read is named; what can be is shown all the same.
func TestRoutesOfBackendsThatCannotBeRead(t *testing.T) {
	silent := listen(t) // accepts, and never answers
	closed := listen(t)
	_ = closed.Close()
	blind := plainBackend(t, false)
	good := plainBackend(t, true)
	got := run(t.Context(), "routes", "--timeout", "1s", "--expose", "a.silent.Service/Watch",
		"--upstream", "silent="+silent.Addr().String(), "--upstream", "closed="+closed.Addr().String(), "--upstream", "blind="+blind, "--upstream", "good="+good)
	if got.code != 1 || !strings.Contains(got.stdout, "--expose grpc.health.v1.Health/Watch") {
		t.Errorf("exit %d:\n%s", got.code, got.stdout)
	}
	for _, want := range []string{
		"upstream silent (" + silent.Addr().String() + "): not reached within 1s: ",
		"upstream closed (" + closed.Addr().String() + "): not reached within 1s: ",
		"upstream blind (" + blind + "): the backend has no gRPC server reflection",
		`warning: expose "a.silent.Service/Watch" matches no method of the upstreams read so far`, // one of them may have it
	} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("%q is not in\n%s", want, got.stderr)
		}
	}
	if strings.Contains(got.stderr, "upstream good") {
		t.Errorf("good is reported:\n%s", got.stderr)
	}
	if got := run(t.Context(), "routes", "--timeout", "100ms", "--upstream", closed.Addr().String()); got.code != 1 || got.stdout != "" {
		t.Errorf("%+v", got)
	}
}

// A backend that comes up while routes waits is read.
func TestRoutesWaits(t *testing.T) {
	late := listen(t)
	address := late.Addr().String()
	_ = late.Close()
	c := start(t, "routes", "--timeout", "1m", "--upstream", address)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ended by Stop
	}()
	defer func() { server.Stop(); <-done }()
	if code := <-c.done; code != 0 {
		t.Errorf("exit %d: %s", code, c.stderr)
	}
}

func TestRoutesStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := run(ctx, "routes", "--upstream", "127.0.0.1:1"); got.code != 1 || !strings.Contains(got.stderr, "context canceled") {
		t.Errorf("%+v", got)
	}
}

func TestRoutesThatContradict(t *testing.T) {
	file := write(t, "grpc-sse.yaml", `
upstreams: [{target: "`+plainBackend(t, true)+`"}]
rules:
- {selector: grpc.health.v1.Health.Watch, http: {get: /v1/health}}
- {selector: grpc.health.v1.Health.Check, http: {get: /v1/health}}
`)
	got := run(t.Context(), "routes", "--config", file)
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "match the same paths") {
		t.Errorf("%+v", got)
	}
	got = run(t.Context(), "routes", "--config", file, "--expose", "a.B/C")
	if got.code != 1 || !strings.Contains(got.stderr, `expose "a.B/C" matches no method`) {
		t.Errorf("%+v", got)
	}
}

// With a descriptor set nothing has to run.
func TestRoutesByDescriptorSet(t *testing.T) {
	set := write(t, "set.binpb", string(healthSet(t)))
	got := run(t.Context(), "routes", "--upstream", "127.0.0.1:1", "--descriptor-set", set, "--expose", "*")
	if got.code != 0 || !strings.Contains(got.stdout, "grpc.health.v1.Health/Watch  (stream)") {
		t.Errorf("%+v", got)
	}
	broken := write(t, "broken.binpb", string(brokenSet(t)))
	got = run(t.Context(), "routes", "--upstream", "127.0.0.1:1", "--descriptor-set", broken)
	if got.code != 1 || !strings.Contains(got.stderr, "upstream 127.0.0.1:1: "+broken+": ") {
		t.Errorf("%+v", got)
	}
}

func TestDemo(t *testing.T) {
	c := start(t, "demo", "--listen", "127.0.0.1:0", "--bridge", "127.0.0.1:0", "--backend", "127.0.0.1:0")
	welcome := c.stdout.waitFor(t, "Ctrl-C")
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(welcome, 3)
	page, bridge, backend := addresses[0], addresses[1], addresses[2]
	golden(t, "demo.txt", strings.NewReplacer(page, "PAGE", bridge, "BRIDGE", backend, "BACKEND").Replace(welcome))

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page: %s, %v", response.Status, response.Header)
	}
	for _, address := range []string{page, bridge} { // through the page's server, and at the bridge itself
		if got := firstEvent(t, "http://"+address+"/v1/prices"); got != "price" {
			t.Errorf("%s: the first event is a %q", address, got)
		}
	}
	if got := run(t.Context(), "routes", "--upstream", backend); got.code != 0 {
		t.Errorf("the backend: %+v", got)
	}
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.stderr)
	}
}

func TestDemoOnATakenPort(t *testing.T) {
	taken := listen(t).Addr().String()
	for _, flag := range []string{"--listen", "--bridge", "--backend"} {
		args := []string{"demo", "--listen", "127.0.0.1:0", "--bridge", "127.0.0.1:0", "--backend", "127.0.0.1:0", flag, taken}
		got := run(t.Context(), args...)
		if got.code != 1 || !strings.Contains(got.stderr, flag) || !strings.Contains(got.stderr, taken) {
			t.Errorf("%s: %+v", flag, got)
		}
	}
}
