package bridgetest_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func TestStreamToItsEnd(t *testing.T) {
	b, address := scripted(t)
	b.Define("three", script.Note("a"), script.Note("b"), script.Note("c"))
	w := start(t, upstreams(address))
	s := w.get("/v1/play/three")
	s.expect("note", `"n":"1"`, `"text":"a"`)
	s.expect("note", `"n":"2"`)
	s.expect("note", `"n":"3"`)
	s.expect("stream.end", `"code":0`)
	s.over()
	if a := w.do("GET", "/v1/play/three", "", from(s.lastID)); a.status != 204 || a.body != "" {
		t.Errorf("after the end: %d %q, want 204", a.status, a.body)
	}
	w.stop()
}
