package bridgetest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/feed"
)

// After thousands of connects to shared streams nothing is left of them: no goroutine, no descriptor, no reader, no call and no
// byte of a log.
func TestLeaksOfSharedStreams(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		if testing.Short() {
			t.Skip("thousands of connects")
		}
		l := logged(t, 30).on(v)
		l.define(&scriptv1.Log{Stream: script.PrincipalLog("log", ""), Head: 30})
		l.define(&scriptv1.Log{Stream: "log", Head: 30, Keys: 5})
		w := l.bridge("")
		lost := map[string]string{} // cursors of a bridge that is gone
		for _, method := range []string{"earliest", "public", "keyed", "own"} {
			s := w.get("/v1/" + method + "/log")
			for !strings.Contains(lost[method], "~c") {
				lost[method] = s.next().ID
			}
		}
		w.stop()
		// From now on calls without a cursor begin live: who presents an older one is caught up by another call.
		l.define(&scriptv1.Log{Stream: "log", Head: 30, Keys: 5, BeginAt: scriptv1.Begin_BEGIN_LIVE})
		l.define(&scriptv1.Log{Stream: "old", Head: 30, Keys: 5})

		rules := "open_window: 0s\nrules:\n"
		for _, method := range []string{"WatchPublic", "WatchEarliest", "WatchKeyed", "WatchOwn", "WatchShared"} {
			rules += "- {selector: demo.script.v1.BroadcastService." + method + ", stream: {linger: 0s}}\n"
		}
		w = l.bridge(rules)
		visits := []visit{
			{verb: "GET", path: "/v1/public/log", until: "stream.open", status: 200},                            // leaves before the first event
			{verb: "GET", path: "/v1/earliest/old", until: `"n":"20"`, status: 200},                             // leaves in mid-stream
			{verb: "GET", path: "/v1/keyed/old", until: `"n":"30"`, status: 200},                                // reads a snapshot, or live
			{verb: "GET", path: "/v1/shared/old", until: "stream.open", status: 200, cursor: "1.AAAA"},          // comes back to nothing
			{verb: "GET", path: "/v1/earliest/log", until: `"n":"25"`, status: 200, cursor: lost["earliest"]},   // is being caught up
			{verb: "GET", path: "/v1/public/log", until: `"n":"30"`, status: 200, cursor: lost["public"]},       // is caught up
			{verb: "GET", path: "/v1/keyed/log", until: "stream.open", status: 200, cursor: lost["keyed"]},      // leaves as the call begins
			{verb: "GET", path: "/v1/own/log", until: `"n":"25"`, status: 200, cursor: lost["own"]},             // goes on in a call of its own
			{verb: "GET", path: "/v1/earliest/old?sse.wait=1s", status: 200},                                    // asks again and again
			{verb: "GET", path: "/v1/principal/log", status: 401},                                               // is nobody
			{verb: "GET", path: "/v1/earliest/old?sse.client_id=" + key, until: `"n":"7"`, status: 200},         // has its cursor kept
			{verb: "GET", path: "/v1/earliest/old?sse.frames=plain&sse.events=odd", until: "data", status: 200}, // sees a part of it
		}
		batch := func(n int) {
			var work sync.WaitGroup
			for i := range n {
				work.Go(func() { visits[i%len(visits)].run(w) })
			}
			work.Wait()
		}
		idle := func() bool {
			w.client.CloseIdleConnections()
			return w.bridge.Stats() == feed.Stats{} && script.AllEnded(0)(l.Calls(""))
		}
		state := func() string { return fmt.Sprintf("%+v", w.bridge.Stats()) }
		batch(48) // makes connections and pools grow
		eventually(t, "all is quiet", idle, state)
		before := inventory()
		for range min(2000, connects(v)) / 50 {
			if batch(50); t.Failed() {
				t.FailNow()
			}
		}
		eventually(t, "every reader has left, every call has ended and every log is gone", idle, state)
		var after held
		eventually(t, "there is no more of anything than before", func() bool {
			after = inventory()
			return after.goroutines <= before.goroutines && after.files <= before.files
		}, func() string { return fmt.Sprintf("before %+v, now %+v, and these run:\n%s", before, after, stacks()) })
		caughtUp := 0
		for _, c := range l.Calls("log") {
			if c.GetCursor() != "" {
				caughtUp++
			}
		}
		t.Logf("%d calls, %d of them from a cursor on", len(l.Calls("")), caughtUp)
		if caughtUp < 10 {
			t.Errorf("%d calls went on from a cursor: that shows little", caughtUp)
		}
		w.stop()
	})
}
