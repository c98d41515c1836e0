package bridgetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// TestBugsOthersHad has a test for each bug that brokers, gateways and databases are known to have had with streams that
// resume.
func TestBugsOthersHad(t *testing.T) {
	for name, test := range map[string]func(*testing.T, way){
		"sequence reused after a crash":                          sequenceReused,
		"stale cursor below the new maximum after a restart":     staleCursor,
		"cursor not bound to its filter":                         cursorOfAnotherFilter,
		"two sequence domains mixed":                             twoDomains,
		"loss between replay and live subscription":              lossBeforeLive,
		"unbounded replay memory":                                replayMemory,
		"replay across sessions":                                 replayAcrossSessions,
		"last event sent again":                                  lastEventAgain,
		"one blocked subscriber blocking all":                    blockedSubscriber,
		"endless retry on a stale cursor":                        endlessRetry,
		"endless replay of a finished stream":                    endlessReplay,
		"event error clash":                                      eventErrorClash,
		"headers only after the first message":                   lateHeaders,
		"watch on a future revision returning old events":        futureRevision,
		"expired or missing credential treated as anonymous":     missingCredential,
		"non-unique client ids overwriting each other":           sameClientID,
		"non-unique client ids overwriting each other's streams": sameClientIDOnTwoStreams,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryWay(t, test)
		})
	}
}

// A bridge that lost its log gives no id a second time, whether or not anybody is there who knows the old ones.
func sequenceReused(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	for _, path := range []string{"/v1/shared/log", "/v1/earliest/log", "/v1/own/log"} {
		w := l.bridge("")
		before := parsed(t, w.get(path).links(1, 5).ID)
		w.stop()
		w = l.bridge("")
		s := w.get(path)
		if first := parsed(t, s.links(1, 1).ID); first.Position <= before.Position || first.Mark == before.Mark {
			t.Errorf("%s: id %s after %s", path, first, before)
		}
		w.stop()
	}
}

// A cursor of a log that is lost is not taken for one of the log that took its place, even where the numbers would fit.
func staleCursor(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	w := l.bridge("")
	stale := w.get("/v1/shared/log").links(1, 3)
	w.stop()
	w = l.bridge("")
	now := parsed(t, w.get("/v1/shared/log").links(1, 3).ID)
	between := parsed(t, stale.ID)
	between.Position = now.Position - 1
	for _, cursor := range []string{stale.ID, between.String()} {
		s := w.get("/v1/shared/log", from(cursor)).resumed(false)
		s.expect("stream.reset", `{"reason":"unknown_cursor"}`)
		if e := s.links(1, 5); parsed(t, e.ID).Position <= parsed(t, cursor).Position {
			t.Errorf("id %s behind the cursor %s", e.ID, cursor)
		}
	}
	w.stop()
}

// A cursor is good for the request that it was given for, and no other: not even the backend's cursor in it is.
func cursorOfAnotherFilter(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	l.define(&scriptv1.Log{Stream: "other", Head: 9})
	w := l.bridge("")
	cursor := w.get("/v1/earliest/log").links(1, 3).ID
	for _, path := range []string{"/v1/earliest/other", "/v1/earliest/log?tag=x", "/v1/inclusive/log", "/v1/own/log", "/v1/own/other"} {
		s := w.get(path, from(cursor)).resumed(false)
		s.expect("stream.reset", `{"reason":"unknown_cursor"}`)
		s.links(1, 5)
	}
	for _, log := range []string{"log", "other"} {
		for _, c := range l.cursors(log) {
			if c != "" {
				t.Errorf("a call began %s", c)
			}
		}
	}
	w.stop()
}

// The bridge's numbers and the backend's are two things. A bridge that lost its log asks the backend for the backend's,
// and goes on with its own above what the client has, however far they are apart.
func twoDomains(t *testing.T, v way) {
	l := logged(t, 50).on(v)
	w := l.bridge("")
	cursor := w.get("/v1/own/log").links(1, 7).ID
	w.stop()
	w = l.bridge("")
	for _, position := range []event.Position{1, 7, 49, parsed(t, cursor).Position} {
		id := parsed(t, cursor)
		id.Position = position
		s := w.get("/v1/own/log", from(id.String())).resumed(true)
		e := s.links(8, 50)
		if got := parsed(t, e.ID).Position; got <= position {
			t.Errorf("position %d behind %d", got, position)
		}
		s.leave()
	}
	for _, c := range l.cursors("log")[1:] {
		if c != "after 7" {
			t.Errorf("a call began %q, want it after 7", c)
		}
	}
	w.stop()
}

// Who joins while events come gets what was there and what comes, with nothing lost between.
func lossBeforeLive(t *testing.T, v way) {
	l := logged(t, 100).on(v)
	w := l.bridge("rules: [{selector: demo.script.v1.BroadcastService.WatchEarliest, stream: {retention: {events: 100000, bytes: 67108864}}}]\n")
	first := w.get("/v1/earliest/log")
	first.links(1, 100)
	done := make(chan struct{})
	var burst, joiners sync.WaitGroup
	burst.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				l.Append("log", 10)
				await(t, l.Backend, "log", script.Begun(1)) // looks at the calls: lets others run
			}
		}
	})
	for range 20 {
		joiners.Go(func() {
			s := w.get("/v1/earliest/log")
			s.links(1, 1000)
			s.leave()
		})
	}
	joiners.Wait()
	close(done)
	burst.Wait()
	first.leave()
	w.stop()
}

// What is kept for who joins late is bounded, however much there was.
func replayMemory(t *testing.T, v way) {
	const kept = 64
	l := logged(t, 1).on(v)
	w := l.bridge(fmt.Sprintf("rules: [{selector: demo.script.v1.BroadcastService.WatchEarliest, stream: {retention: {events: %d}}}]\n", kept))
	reader := w.get("/v1/earliest/log")
	reader.links(1, 1)
	var most int64
	for n := 2; n < 5000; n += kept / 2 {
		l.Append("log", kept/2)
		reader.links(n, n+kept/2-1)
		most = max(most, w.bridge.Stats().Bytes)
	}
	if most > 4*kept*1000 {
		t.Errorf("the log took %d bytes for %d events", most, kept)
	}
	_, head := l.Bounds("log")
	late := w.get("/v1/earliest/log")
	late.links(int(head)-kept+1, int(head))
	w.stop()
}

// Another person's id opens nothing of theirs: not by a call of one's own, not by one that is shared (GHSA-84j6).
func replayAcrossSessions(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	for _, user := range []string{"alice", "bob"} {
		l.define(&scriptv1.Log{Stream: script.PrincipalLog("log", user), Head: 5})
	}
	w := l.bridge("")
	shared := w.get("/v1/principal/log", as("alice")).links(1, 3)
	own := w.get("/v1/plain/log?sse.frames=typed&sse.call=aaaaaaaaaaaaaaaaaaaaaaaa", as("alice")).links(1, 3)
	s := w.get("/v1/plain/log?sse.frames=typed", as("bob"), from(own.ID)).resumed(false)
	s.expect("stream.reset", `{"reason":"unknown_cursor"}`)
	if n := len(l.Calls("log")); n != 2 {
		t.Errorf("%d calls, want one for each", n)
	}
	// The key that she gave her call is no way to it, either.
	w.get("/v1/plain/log?sse.frames=typed&sse.call=aaaaaaaaaaaaaaaaaaaaaaaa", as("bob")).links(1, 3)
	if n := len(l.Calls("log")); n != 3 {
		t.Errorf("%d calls, want another one for the same key of somebody else", n)
	}
	s = w.get("/v1/principal/log", as("bob"), from(shared.ID))
	for range 2 {
		if e := s.next(); strings.Contains(e.Data, "alice") {
			t.Errorf("bob got %s", e.Data)
		}
	}
	if n := len(l.Calls(script.PrincipalLog("log", "alice"))); n != 1 {
		t.Errorf("%d calls for alice, want 1", n)
	}
	w.stop()
}

// What a client presents is what it has: the first event that it gets is the next one.
func lastEventAgain(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	w := l.bridge("")
	head := 5
	for _, path := range []string{"/v1/shared/log", "/v1/earliest/log", "/v1/own/log", "/v1/plain/log?sse.frames=typed"} {
		first := w.get(path)
		cursor := first.links(1, head).ID
		again := w.get(path, from(cursor)).resumed(true)
		l.Append("log", 1)
		head++
		if e := again.links(head, head); parsed(t, e.ID).Position != parsed(t, cursor).Position+1 {
			t.Errorf("%s: id %s follows %s", path, e.ID, cursor)
		}
		first.leave()
		again.leave()
	}
	w.stop()
}

// Whoever does not read keeps nobody waiting.
func blockedSubscriber(t *testing.T, v way) {
	l := logged(t, 1).on(v)
	l.define(&scriptv1.Log{Stream: "log", Head: 1, Size: 1000})
	w := l.bridge("write_timeout: 600s\nrules: [{selector: demo.script.v1.BroadcastService.WatchEarliest, stream: {retention: {bytes: 65536}}}]\n")
	blocked := w.narrow()
	if _, err := blocked.Write([]byte("GET /v1/earliest/log HTTP/1.1\r\nHost: bridge\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the blocked one reads", func() bool { return w.bridge.Stats().Readers == 1 })
	reader := w.get("/v1/earliest/log")
	reader.links(1, 1)
	for n := 2; n < 3000; n += 20 { // many times what the buffers on the way hold
		l.Append("log", 20)
		reader.links(n, n+19)
	}
	if stats := w.bridge.Stats(); stats.Readers != 2 {
		t.Errorf("%d readers, want the blocked one to be there still", stats.Readers)
	}
	_ = blocked.Close()
	w.stop()
}

// A cursor that the backend no longer has is asked for once; then the client is told, and goes on from another one.
func endlessRetry(t *testing.T, v way) {
	l := logged(t, 20).on(v)
	for _, path := range []string{"/v1/earliest/log", "/v1/own/log"} {
		l.define(&scriptv1.Log{Stream: "log"})
		w := l.bridge("")
		stale := w.get(path).links(1, 3).ID
		w.stop()
		l.Compact("log", 10)
		before := len(l.Calls("log"))
		w = l.bridge("")
		s := w.get(path, from(stale))
		s.after("stream.reset", `{"reason":"expired"}`)
		fresh := s.links(10, 20).ID
		w.get(path, from(fresh)).resumed(true)
		// A call that catches up has begun anew, too, before it is given up.
		if cursors := l.cursors("log")[before:]; len(cursors) > 3 || strings.Join(cursors, "") != "after 3" {
			t.Errorf("%s: calls began %q, want one after 3, and else as requested", path, cursors)
		}
		w.stop()
		l.Compact("log", 1)
	}
}

// Who has had the end gets 204, for ever, on a bridge that knows nothing of the stream, too, and nothing is called.
func endlessReplay(t *testing.T, v way) {
	l := logged(t, 3).on(v)
	l.define(&scriptv1.Log{Stream: "log", Last: 3})
	for _, path := range []string{"/v1/earliest/log", "/v1/own/log", "/v1/plain/log?sse.frames=typed"} {
		w := l.bridge("")
		s := w.get(path)
		s.links(1, 3)
		end := s.expect("stream.end", `"code":0`)
		s.over()
		calls := len(l.Calls("log"))
		for range 2 {
			if a := w.do("GET", path, "", asEventSource, from(end.ID)); a.status != http.StatusNoContent {
				t.Errorf("%s: %d, want 204", path, a.status)
			}
			w.stop()
			w = l.bridge("")
		}
		if n := len(l.Calls("log")) - calls; n != 0 {
			t.Errorf("%s: %d calls by who has had the end", path, n)
		}
		w.stop()
	}
}

// An application's event of type error or open would look to EventSource as if the connection had failed or opened.
func eventErrorClash(t *testing.T, v way) {
	b, address := scripted(t)
	b.Define("clash",
		&scriptv1.Step{Step: &scriptv1.Step_Event{Event: &scriptv1.Event{Kind: scriptv1.Kind_KIND_ERROR}}},
		&scriptv1.Step{Step: &scriptv1.Step_Event{Event: &scriptv1.Event{Kind: scriptv1.Kind_KIND_OPEN}}},
		script.Fail(codes.Internal, "broken"))
	w := startOn(t, v, upstreams(address))
	s := w.get("/v1/play/clash")
	s.expect("app.error", "event 1")
	s.expect("app.open", "event 2")
	s.expect("stream.end", `"code":13`) // nor is the end of a call that failed
	w.stop()
}

// A stream on which nothing happens has its head, so that no proxy gives up on it.
func lateHeaders(t *testing.T, v way) {
	l := logged(t, 0).on(v)
	w := l.bridge("open_window: 0.05s\n")
	for _, path := range []string{"/v1/public/log", "/v1/keyed/log", "/v1/own/log", "/v1/shared/log"} {
		s := w.get(path)
		if s.openData().Resumed {
			t.Errorf("%s: stream.open %s", path, s.opening.Data)
		}
	}
	w.stop()
}

// A cursor that lies in the future, be it by the bridge's number or the backend's, brings no old events as if they
// followed it.
func futureRevision(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	w := l.bridge("")
	for _, path := range []string{"/v1/earliest/log", "/v1/own/log", "/v1/shared/log"} {
		first := w.get(path)
		id := parsed(t, first.links(1, 5).ID)
		future := id
		future.Position += 1000
		future.Backend = nil
		s := w.get(path, from(future.String())).resumed(false)
		s.expect("stream.reset", `{"reason":"unknown_cursor"}`)
		if id.Backend == nil {
			continue
		}
		future = id
		future.Mark, future.Backend = event.NewMark(), []byte{0xff, 0xff, 0x7f} // a sequence of two millions
		s = w.get(path, from(future.String()))
		s.after("stream.reset", `{"reason":"expired"}`)
	}
	w.stop()
}

// A request whose principal is missing is nobody's: it gets nothing that is somebody's, and no shared call of its own.
func missingCredential(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	l.define(&scriptv1.Log{Stream: script.PrincipalLog("log", "alice"), Head: 5})
	w := l.bridge("")
	shared := w.get("/v1/principal/log", as("alice")).links(1, 3)
	for _, options := range [][]option{{asEventSource}, {asEventSource, from(shared.ID)}, {asEventSource, header("Authorization", "alice")}} {
		w.do("GET", "/v1/principal/log", "", options...).problem(t, 401, "principal")
	}
	own := w.get("/v1/own/log", as("alice")).links(1, 3)
	id := parsed(t, own.ID)
	id.Backend = nil
	w.get("/v1/own/log", from(id.String())).resumed(false)
	if n := len(l.Calls("")); n != 3 {
		t.Errorf("%d calls, want alice's two and one of nobody's", n)
	}
	w.stop()
}

// Two people whose clients have the same name have a cursor each.
func sameClientID(t *testing.T, v way) {
	l := logged(t, 0).on(v)
	for _, user := range []string{"alice", "bob"} {
		l.define(&scriptv1.Log{Stream: script.PrincipalLog("log", user), Head: 5})
	}
	w := l.bridge("")
	const path = "/v1/principal/log?sse.client_id=tab"
	get := func(user string, first, last int) sse.Event {
		t.Helper()
		s := w.get(path, as(user))
		defer s.leave()
		return s.links(first, last)
	}
	alice, bob := get("alice", 1, 4), get("bob", 1, 2)
	w.acknowledge("tab", alice.ID, 204, as("alice"))
	w.acknowledge("tab", bob.ID, 204, as("bob"))
	get("alice", 5, 5)
	get("bob", 3, 5)
	w.acknowledge("tab", alice.ID, 404, as("bob"))
	get("bob", 3, 5)
	w.stop()
}

// Two streams of one client have a cursor each.
func sameClientIDOnTwoStreams(t *testing.T, v way) {
	l := logged(t, 5).on(v)
	l.define(&scriptv1.Log{Stream: "other", Head: 5})
	w := l.bridge("")
	get := func(log string, first, last int) sse.Event {
		t.Helper()
		s := w.get("/v1/earliest/"+log+"?sse.client_id=tab", as("alice"))
		defer s.leave()
		return s.links(first, last)
	}
	one, other := get("log", 1, 4), get("other", 1, 2)
	w.acknowledge("tab", one.ID, 204, as("alice"))
	w.acknowledge("tab", other.ID, 204, as("alice"))
	get("log", 5, 5)
	get("other", 3, 5)
	w.stop()
}
