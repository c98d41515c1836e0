package bridgetest_test

import (
	"net"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// Told to end, the bridge lets streams go on for the window, starts nothing new, and ends when they have.
func TestDrain(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
		w := startOn(t, v, upstreams(address)+"drain_window: 3600s\n")
		running := w.post("/v1/play", `{"script":"run","stream":"running"}`)
		first := running.expect("note", `"text":"a"`)
		w.cancel()
		w.log.await(t, "draining")
		if a := w.adminGet("/readyz"); a.status != 503 || !strings.Contains(a.body, "draining") {
			t.Errorf("/readyz: %d %q, want 503 draining", a.status, a.body)
		}
		if a := w.adminGet("/healthz"); a.status != 200 {
			t.Errorf("/healthz: %d, want 200", a.status)
		}
		w.do("GET", "/v1/play/run?stream=new", "", asEventSource).busy(t, "drain")
		if n := len(b.Calls("new")); n != 0 {
			t.Errorf("%d calls were started while draining", n)
		}
		// Who was cut comes back to the stream that goes on.
		back := w.post("/v1/play", `{"script":"run","stream":"running"}`, from(first.ID))
		b.Open("go on")
		for _, s := range []*stream{running, back} {
			s.expect("note", `"text":"b"`)
			s.expect("stream.end", `"code":0`)
			s.over()
		}
		w.wait()
		if conn, err := net.Dial("tcp", w.bridge.Addr().String()); err == nil {
			_ = conn.Close()
			t.Error("the bridge still listens")
		}
	})
}

// At the window's end: what may run again elsewhere is told to come back, what may not gets its end, and the backend's
// calls are cancelled.
func TestDrainWindowEnds(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("run", script.Note("a"), script.Gate("never"))
		w := startOn(t, v, upstreams(address)+"drain_window: 0s\n")
		restart := w.get("/v1/play/run?stream=restart")
		end := w.post("/v1/play", `{"script":"run","stream":"end"}`)
		lingering := w.get("/v1/play/run?stream=lingering")
		for _, s := range []*stream{restart, end, lingering} {
			s.expect("note")
		}
		lingering.leave()
		eventually(t, "one reader has left", func() bool { return w.bridge.Stats().Readers == 2 })
		w.cancel()
		if e := restart.expect("stream.busy", `{"reason":"drain"}`); e.HasID || e.Retry <= 0 {
			t.Errorf("stream.busy: %+v, want a retry and no id", e)
		}
		restart.over()
		end.expect("stream.end", `"code":14`, "shutting down")
		end.over()
		w.wait()
		for _, name := range []string{"restart", "end", "lingering"} {
			await(t, b, name, cancelled)
		}
	})
}

// A bridge that ends while it waits for its backend ends at once.
func TestEndsWhileWaiting(t *testing.T) {
	p := newPort(t)
	w := launch(t, upstreams(p.address))
	w.log.await(t, "could not be read")
	w.stop()

	w = start(t, describedItems(t, p.address, oneOfEach)+impatient)
	s := w.get("/v1/items/a")
	s.expect("stream.waiting")
	w.cancel()
	s.after("stream.busy", "drain")
	s.over()
	w.stop()
}
