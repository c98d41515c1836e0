package browser_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
)

// One public stream in all three browsers, twice in each: one call of the backend. The backend goes away and comes back:
// the pages see nothing but a pause. The bridge is started again, with nothing in its memory: each page goes on with the
// next event.
func TestSharedStreamOutlivesBoth(t *testing.T) {
	const log, method = "prices", "demo.script.v1.BroadcastService.WatchEarliest"
	w := launch(t, "heartbeat: 1s\n")
	define(t, w.backend, log, 2, 0)
	var tabs []tab
	for _, name := range browser.Engines {
		for range 2 {
			tabs = append(tabs, follow(t, browsers.Get(t, name), "http://"+w.addr, blank, "/v1/earliest/"+log))
		}
	}
	for _, x := range tabs {
		x.links(2)
	}
	if n := w.backend.Count(method); n != 1 {
		t.Errorf("%d calls of the backend for %d pages, want 1", n, len(tabs))
	}

	w.stopBackend()
	for _, x := range tabs {
		if saw := x.until(`seen.events.some((e) => e.type === "stream.waiting")`); !has(saw, "stream.waiting") {
			t.Fatalf("the page does not know that the backend is away: %s", brief(saw))
		}
	}
	w.backend.Append(log, 2)
	w.startBackend()
	for i, x := range tabs {
		saw := x.links(4)
		if diff := cmp.Diff([]string{"stream.open", "odd", "even", "odd", "even"}, besides(saw, "stream.waiting")); diff != "" ||
			saw.Opens != 1 || saw.Errors != 0 {
			t.Errorf("tab %d: %s; want a pause and nothing else (-want +got):\n%s", i, brief(saw), diff)
		}
	}

	w.stopBridge()
	w.backend.Append(log, 2)
	w.startBridge()
	for _, x := range tabs {
		x.links(6)
	}
	w.backend.Append(log, 2)
	for i, x := range tabs {
		saw := x.links(8)
		want := []string{"stream.open", "odd", "even", "odd", "even", "stream.open", "odd", "even", "odd", "even"}
		if diff := cmp.Diff(want, besides(saw, "stream.waiting", "stream.busy")); diff != "" || saw.Opens != 2 || saw.Errors == 0 {
			t.Errorf("tab %d: %s; want that it goes on with the next event (-want +got):\n%s", i, brief(saw), diff)
		}
	}
}

// besides are the types that were seen, without some.
func besides(saw browser.Seen, without ...string) []string {
	return slices.DeleteFunc(typesOf(saw), func(kind string) bool { return slices.Contains(without, kind) })
}
