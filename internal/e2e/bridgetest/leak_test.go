package bridgetest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// connects is how many connects a test of leaks makes in one way: fewer where each begins with a handshake.
func connects(v way) int {
	switch {
	case v.tls:
		return 300
	case v.proto == "HTTP/2.0":
		return 1500
	default:
		return 5000
	}
}

// After thousands of connects of every kind nothing is left of them: no goroutine, no descriptor, no reader, no call.
func TestLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of connects")
	}
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("hold", script.Note("a"), script.Gate("never"))
		b.Define("silent", script.Headers("a", "b"), script.Gate("never"))
		b.Define("end", script.Note("a"))
		b.Define("fail", script.Fail(codes.NotFound, "gone"))
		w := startOn(t, v, upstreams(address)+"rules: [{selector: demo.script.v1.ScriptService.Play, stream: {linger: 0s}}]\n")
		visits := []visit{
			{verb: "GET", path: "/v1/play/hold", until: "event: note", status: 200},     // leaves in mid-stream
			{verb: "GET", path: "/v1/play/silent", until: "stream.open", status: 200},   // leaves before the first event
			{verb: "GET", path: "/v1/play/end", status: 200},                            // stays to the end
			{verb: "GET", path: "/v1/play/fail", status: 404},                           // is refused by the backend
			{verb: "GET", path: "/v1/play/hold?bad=1", status: 400},                     // is refused by the bridge
			{verb: "POST", path: "/v1/play", status: 200, until: "event: note"},         // posts
			{verb: "POST", path: "/v1/play", status: 200, cursor: "1.AAAAAAAAAAAAAAAA"}, // comes back to nothing
			{verb: "GET", path: "/v1/echo/x", status: 200},                              // calls once
			{verb: "GET", path: "/v1/play/end?sse.call=" + key, status: 200},            // repeats itself
			{verb: "GET", path: "/v1/play/hold", until: "HTTP", status: 200},            // leaves at the head
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
			stats := w.bridge.Stats()
			return stats.Readers == 0 && stats.Active == 0 && script.AllEnded(0)(b.Calls(""))
		}
		batch(50) // makes connections and pools grow
		eventually(t, "all is quiet", idle)
		before := inventory()
		for range connects(v) / 50 {
			if batch(50); t.Failed() {
				t.FailNow()
			}
		}
		eventually(t, "every reader has left and every call has ended", idle)
		var after held
		eventually(t, "there is no more of anything than before", func() bool {
			after = inventory()
			return after.goroutines <= before.goroutines && after.files <= before.files
		}, func() string { return fmt.Sprintf("before %+v, now %+v, and these run:\n%s", before, after, stacks()) })

		var sent, uncancelled int
		for _, c := range b.Calls("") {
			sent += int(c.GetSent())
			if c.GetScript() == "hold" && !c.GetCancelled() {
				uncancelled++
			}
		}
		if n := len(b.Calls("")); n < connects(v)/2 || sent < connects(v)*3/10 || uncancelled != 0 {
			t.Errorf("%d calls, %d messages, %d not cancelled", n, sent, uncancelled)
		}
		w.stop()
	})
}

// visit is one request of a client that goes away.
type visit struct {
	verb, path, cursor string
	until              string // the text after which the client leaves; empty for the response's end
	status             int
}

func (v visit) run(w *world) {
	body := ""
	if v.verb == http.MethodPost {
		body = `{"script":"hold"}`
	}
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	r := w.request(v.verb, v.path, body).WithContext(ctx)
	if v.cursor != "" {
		r.Header.Set("Last-Event-ID", v.cursor)
	}
	response, err := w.client.Do(r)
	if err != nil {
		w.t.Errorf("%s %s: %v", v.verb, v.path, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != v.status {
		w.t.Errorf("%s %s: %s", v.verb, v.path, response.Status)
	}
	if v.until == "HTTP" {
		return
	}
	var got strings.Builder
	buf := make([]byte, 4096)
	for v.until == "" || !strings.Contains(got.String(), v.until) {
		n, err := response.Body.Read(buf)
		got.Write(buf[:n])
		if err == io.EOF && v.until == "" {
			return
		}
		if err != nil {
			w.t.Errorf("%s %s: %v after %q", v.verb, v.path, err, got.String())
			return
		}
	}
}

// held is what this process holds, but for the connections to the backend: a bridge that is busy opens more of them, and
// keeps them for a while.
type held struct{ goroutines, files, connections int }

func inventory() held {
	h := held{files: openFiles()}
	for stack := range strings.SplitSeq(stacks(), "\n\n") {
		switch {
		case strings.Contains(stack, "upstream.(*pool).watch("): // one for each connection
			h.connections++
		case strings.Contains(stack, "grpc/internal/"): // both ends of connections to the backend
		default:
			h.goroutines++
		}
	}
	h.files -= 2 * h.connections
	return h
}

// stacks are those of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	for {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}

// openFiles counts this process's descriptors; 0 where that cannot be known.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// A call that its readers have left is cancelled once, and nothing of the reader stays.
func TestLeavingIsNoticed(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("hold", script.Note("a"), script.Gate("never"))
		w := startOn(t, v, upstreams(address)+"rules: [{selector: demo.script.v1.ScriptService.Play, stream: {linger: 0s}}]\n")
		var streams []*stream
		for i := range 10 {
			s := w.get(fmt.Sprintf("/v1/play/hold?stream=%d", i))
			s.expect("note")
			streams = append(streams, s)
		}
		if stats := w.bridge.Stats(); stats.Readers != 10 || stats.Active != 10 {
			t.Errorf("%+v, want 10 readers of 10 calls", stats)
		}
		for _, s := range streams[:5] {
			s.leave()
		}
		await(t, b, "", func(calls []*scriptv1.Call) bool {
			ended := 0
			for _, c := range calls {
				if c.GetEnded() && c.GetCancelled() {
					ended++
				}
			}
			return ended == 5
		})
		eventually(t, "five are left", func() bool { s := w.bridge.Stats(); return s.Readers == 5 && s.Active == 5 && s.Runs == 5 })
		w.stop()
	})
}
