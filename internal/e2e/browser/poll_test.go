package browser_test

import (
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/nginx"
)

// Behind a proxy that keeps responses until they end, sse.wait brings events all the same: each response ends with the
// first of them, and EventSource asks for more. Without it nothing arrives before the call ends.
func TestPollThroughABufferingProxy(t *testing.T) {
	backend, addr := bridged(t)
	front := nginx.Start(t, nginx.Options{Target: addr, Location: "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"})
	browsers.Each(t, func(t *testing.T, b *browser.Browser) {
		name := b.Name
		backend.Define(name, script.Note("one"), script.Gate(name), script.Note("two"), script.End())
		stuck := follow(t, b, "http://"+front, blank, "/v1/play/"+name)
		polls := follow(t, b, "http://"+front, blank, "/v1/play/"+name+"?sse.wait=1s")

		// The second event only goes out when the first has been seen. By then the other page has been there for longer.
		if saw := polls.until(`seen.events.some((e) => e.type === "note")`); !has(saw, "note") {
			t.Errorf("nothing arrived by polling: %s", brief(saw))
		}
		var saw browser.Seen
		stuck.Eval(patience, `await new Promise((resolve) => setTimeout(resolve, 1000)); return seen`, &saw)
		if len(saw.Events) != 0 {
			t.Errorf("the proxy does not hold anything back: %s", brief(saw))
		}
		backend.Open(name)
		for _, x := range []tab{stuck, polls} {
			saw := x.until(`seen.ended || seen.events.some((e) => e.type === "stream.end")`)
			if got := strings.Join(besides(saw, "stream.open", "stream.bookmark"), " "); got != "note note stream.end" {
				t.Errorf("%s: saw %s", saw.URL, brief(saw))
			}
		}
	})
}
