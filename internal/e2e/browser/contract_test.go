package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// contract is the least that speaks the contract: one finished run of three events, which everybody reads. It keeps
// the harness honest: what fails here is a fault of the harness or a fact about browsers, and not of the bridge.
func contract(t *testing.T) stream {
	t.Helper()
	const (
		start = 1760000000000000
		mark  = "AbCdEfGhIjKlMn01"
	)
	data := []string{`{"token":{"text":"one"}}`, `{"token":{"text":"two, with \u003cb\u003e and ä"}}`, `{"token":{"text":"three"}}`}
	end := fmt.Sprintf("%d.chk01.end", start+len(data)+1)

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := r.Header.Get("Last-Event-ID")
		if last == end {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		position, resumed := start, false
		if n, err := fmt.Sscanf(last, "%d."+mark, &position); n == 1 && err == nil {
			resumed = true
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store, no-transform")
		w.Header().Set("X-Accel-Buffering", "no")
		// Each in a segment of its own, as when time passes between them.
		send := func(format string, a ...any) {
			fmt.Fprintf(w, format, a...)
			_ = http.NewResponseController(w).Flush()
		}
		send(":\nretry: 25\nid: %d.%s\nevent: stream.open\ndata: {\"resumed\":%-5t}\n\n", position, mark, resumed)
		for i, d := range data {
			if p := start + i + 1; p > position {
				send("id: %d.%s\nevent: token\ndata: %s\n\n", p, mark, d)
			}
		}
		send("id: %s\nevent: stream.end\ndata: {\"code\":0,\"status\":\"OK\"}\n\n", end)
	}))
	t.Cleanup(server.Close)
	return stream{addr: strings.TrimPrefix(server.URL, "http://"), path: "/stream", types: []string{"token"}, data: data}
}
