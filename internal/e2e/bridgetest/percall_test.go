package bridgetest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

func TestStreamToItsEnd(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("three", script.Note("a"), script.Note("b"), script.Note("c"))
		w := startOn(t, v, upstreams(address))
		for name, s := range map[string]*stream{"GET": w.get("/v1/play/three"), "POST": w.post("/v1/play", `{"script":"three"}`)} {
			t.Run(name, func(t *testing.T) {
				last := number(t, s.opening.ID)
				for _, text := range []string{"a", "b", "c"} {
					e := s.expect("note", `"text":"`+text+`"`)
					if n := number(t, e.ID); n != last+1 {
						t.Errorf("%s has position %d after %d", text, n, last)
					}
					last++
				}
				end := s.expect("stream.end", `"code":0`)
				if !strings.HasSuffix(end.ID, ".end") || number(t, end.ID) != last+1 {
					t.Errorf("the end has id %s after position %d", end.ID, last)
				}
				s.over()
			})
		}
		s := w.get("/v1/play/three")
		for s.next().Type != "stream.end" {
		}
		if a := w.do("GET", "/v1/play/three", "", from(s.lastID)); a.status != 204 || a.body != "" {
			t.Errorf("after the end: %d %q, want 204", a.status, a.body)
		}
		if a := w.do("POST", "/v1/play", `{"script":"three"}`, from(s.lastID)); a.status != 204 {
			t.Errorf("after the end, by POST: %d, want 204", a.status)
		}
		w.stop()
	})
}

// Cursors that the bridge did not give, or gave for something else, are answered alike, and never by a status.
func TestUnknownCursors(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("hold", script.Note("a"), script.Gate("never"))
		w := startOn(t, v, upstreams(address))
		mine := w.get("/v1/play/hold?stream=mine").expect("note")
		mark := strings.SplitN(mine.ID, ".", 2)[1]
		for name, cursor := range map[string]string{
			"garbage": "x", "control characters": "1.\x01", "too long": strings.Repeat("1", 5000), "markup": "<script>",
			"negative": "-1." + mark, "leading zero": "0" + mine.ID, "huge": "9007199254740992." + mark,
			"forged mark": mine.ID[:len(mine.ID)-1] + "~", "another's": mine.ID, "ahead": "9007199254740991." + mark,
			"another's end": "5.AAAAA.end", "no mark": strings.TrimSuffix(mine.ID, mark),
		} {
			t.Run(name, func(t *testing.T) {
				stream := strings.ReplaceAll(name, " ", "-")
				options := []option{from(cursor)}
				path := "/v1/play/hold?stream=" + stream
				if strings.Contains(cursor, "\x01") { // no client sends it in a header
					options, path = nil, path+"&sse.last_event_id=1.%01"
				}
				s := w.get(path, options...)
				if data := s.openData(); data.Resumed || data.Reason != "unknown_cursor" {
					t.Errorf("stream.open: %s", s.opening.Data)
				}
				s.expect("stream.reset", `{"reason":"unknown_cursor"}`)
				s.expect("note", `"stream":"`+stream+`"`)

				body := mustJSON(t, map[string]string{"script": "hold", "stream": stream + "-post"})
				s = w.post(strings.Replace(path, "/v1/play/hold?stream="+stream, "/v1/play?", 1), body, options...)
				s.expect("stream.end", `"code":5`, "not started again")
				s.over()
				if n := len(b.Calls(stream + "-post")); n != 0 {
					t.Errorf("a POST with an unknown cursor made %d calls", n)
				}
			})
		}
	})
}

// Several tabs read one call by its id: the same bytes, one call.
func TestSeveralTabs(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("run", script.Note("a"), script.Note("b"), script.Gate("go on"), script.Note("c"))
		w := startOn(t, v, upstreams(address))
		first := w.post("/v1/play", `{"script":"run"}`)
		a, second := first.expect("note", "a"), first.expect("note", "b")
		begin := first.opening.ID
		tabs := []*stream{
			w.post("/v1/play", `{"script":"run"}`, from(begin)),
			w.post("/v1/play", `{"script":"run"}`, from(a.ID)),
			w.post("/v1/play?sse.last_event_id="+second.ID, `{"script":"run"}`),
			w.get("/v1/play/run", from(begin)),
		}
		for i, s := range tabs {
			if data := s.openData(); !data.Resumed {
				t.Errorf("tab %d: %s, want it resumed", i, s.opening.Data)
			}
			if s.opening.ID != []string{begin, a.ID, second.ID, begin}[i] {
				t.Errorf("tab %d begins at %s", i, s.opening.ID)
			}
		}
		want := []sse.Event{a, second}
		for i, missed := range [][]sse.Event{want, want[1:], nil, want} {
			for _, e := range missed {
				if got := tabs[i].expect("note"); got.ID != e.ID || got.Data != e.Data {
					t.Errorf("tab %d: %+v, want %+v", i, got, e)
				}
			}
		}
		tabs[1].leave()
		b.Open("go on")
		c := first.expect("note", `"text":"c"`)
		for _, i := range []int{0, 2, 3} {
			if got := tabs[i].expect("note"); got.ID != c.ID || got.Data != c.Data {
				t.Errorf("tab %d: %+v, want %+v", i, got, c)
			}
			tabs[i].expect("stream.end", `"code":0`)
			tabs[i].over()
		}
		if calls := b.Calls(""); len(calls) != 1 || calls[0].GetCancelled() {
			t.Errorf("calls %v, want one that was not cancelled", calls)
		}
		w.stop()
	})
}

// Who has left before the first byte is answered nothing, even if it still reads: an empty 200 would be taken for an
// answer.
func TestLeftBeforeTheFirstByte(t *testing.T) {
	b, address := scripted(t)
	b.Define("silent", script.Gate("never"))
	w := start(t, upstreams(address)+"open_window: 10s\n")
	conn := w.narrow().(*net.TCPConn)
	if _, err := conn.Write([]byte("GET /v1/play/silent HTTP/1.1\r\nHost: bridge\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	await(t, b, "", script.Begun(1))
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || len(answer) != 0 {
		t.Errorf("the answer is %q, %v, want none", answer, err)
	}
	w.stop()
}

const key = "0123456789abcdefghijkl-_"

// A request that died before its first byte is repeated with the same key: it finds the same call.
func TestIdempotencyKeyBeforeTheFirstByte(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		for name, open := range map[string]func(w *world, stream string) *http.Request{
			"POST with Idempotency-Key": func(w *world, stream string) *http.Request {
				return w.request("POST", "/v1/play", `{"script":"late","stream":"`+stream+`"}`, header("Idempotency-Key", key))
			},
			"GET with sse.call": func(w *world, stream string) *http.Request {
				return w.request("GET", "/v1/play/late?stream="+stream+"&sse.call="+key, "")
			},
		} {
			t.Run(name, func(t *testing.T) {
				b, address := scripted(t)
				b.Define("late", script.Gate("speak"), script.Note("a"), script.Gate("never"))
				w := startOn(t, v, upstreams(address)+"open_window: 10s\n")
				ctx, cancel := context.WithCancel(t.Context())
				died := make(chan error, 1) // 1: the test may fail before it looks
				go func() {
					response, err := w.client.Do(open(w, "one").WithContext(ctx))
					if err == nil {
						_ = response.Body.Close()
					}
					died <- err
				}()
				await(t, b, "one", script.Begun(1))
				cancel()
				if err := <-died; !errors.Is(err, context.Canceled) {
					t.Fatalf("the first request got an answer, or failed in another way: %v", err)
				}
				b.Open("speak")
				s := w.open(open(w, "one"))
				first := s.expect("note", `"text":"a"`)
				again := w.open(open(w, "one"))
				if e := again.expect("note"); e.ID != first.ID {
					t.Errorf("the third request reads from %s, want %s", e.ID, first.ID)
				}
				if n := len(b.Calls("one")); n != 1 {
					t.Errorf("%d calls, want 1", n)
				}
				w.send(open(w, "two")).problem(t, 422, "another request", "draw a new one")
				w.stop()
			})
		}
		t.Run("two keys", func(t *testing.T) {
			_, address := scripted(t)
			w := startOn(t, v, upstreams(address))
			w.do("GET", "/v1/play/x?sse.call="+key, "", header("Idempotency-Key", key+"2")).problem(t, 400, "name two calls")
			w.do("GET", "/v1/play/x", "", header("Idempotency-Key", "short")).problem(t, 400, "Idempotency-Key", "22 to 64")
		})
	})
}

func TestCancel(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("run", script.Note("a"), script.Gate("never"))
		w := startOn(t, v, upstreams(address)+"principal: {header: x-user}\nforward_metadata: {headers: []}\n")
		alice, bob := header("X-User", "alice"), header("X-User", "bob")
		s := w.post("/v1/play", `{"script":"run"}`, alice)
		e := s.expect("note")
		tab := w.post("/v1/play", `{"script":"run"}`, alice, from(e.ID))

		stop := mustJSON(t, map[string]string{"id": e.ID})
		for name, options := range map[string][]option{"another principal": {bob}, "nobody": nil} {
			if a := w.do("POST", "/sse.cancel", stop, options...); a.status != 204 {
				t.Errorf("%s: %d, want 204, which tells nothing", name, a.status)
			}
		}
		if calls := b.Calls(""); calls[0].GetEnded() {
			t.Fatalf("somebody else cancelled the call: %v", calls)
		}
		for range 2 { // the second time it is over already
			if a := w.do("POST", "/sse.cancel", stop, alice); a.status != 204 || a.body != "" {
				t.Errorf("%d %q, want 204", a.status, a.body)
			}
			await(t, b, "", cancelled)
		}
		for _, reader := range []*stream{s, tab} {
			reader.expect("stream.end", `"code":1`, `"status":"CANCELLED"`, "by the client")
			reader.over()
		}

		for name, test := range map[string]struct {
			body   string
			status int
			says   string
			option option
		}{
			"garbage id":    {`{"id":"x"}`, 400, "lastEventId", nil},
			"no id":         {`{}`, 400, "lastEventId", nil},
			"unknown field": {`{"id":"x","force":true}`, 400, "last event id", nil},
			"no JSON":       {`id=x`, 415, "application/json", header("Content-Type", "application/x-www-form-urlencoded")},
			"too large":     {`{"id":"` + strings.Repeat("x", 5000) + `"}`, 413, "larger than 4096 bytes", nil},
		} {
			t.Run(name, func(t *testing.T) {
				var options []option
				if test.option != nil {
					options = append(options, test.option)
				}
				w.do("POST", "/sse.cancel", test.body, options...).problem(t, test.status, test.says)
			})
		}
		w.stop()
	})
}

// The last reader's leaving is not the end of the call, unless linger says so: then the backend is told, once.
func TestLinger(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("run", script.Note("a"), script.Gate("go on"), script.Note("b"))
		t.Run("default", func(t *testing.T) {
			w := startOn(t, v, upstreams(address))
			s := w.get("/v1/play/run?stream=default")
			e := s.expect("note")
			s.leave()
			eventually(t, "the reader has left", func() bool { return w.bridge.Stats().Readers == 0 })
			b.Open("go on")
			s = w.get("/v1/play/run?stream=default", from(e.ID))
			s.expect("note", `"text":"b"`)
			s.expect("stream.end", `"code":0`)
			if calls := b.Calls("default"); len(calls) != 1 || calls[0].GetCancelled() {
				t.Errorf("calls %v, want one that was not cancelled", calls)
			}
		})
		t.Run("none", func(t *testing.T) {
			b.Define("run", script.Note("a"), script.Gate("never"))
			w := startOn(t, v, upstreams(address)+"rules: [{selector: demo.script.v1.ScriptService.Play, stream: {linger: 0s}}]\n")
			s := w.get("/v1/play/run?stream=none")
			s.expect("note")
			s.leave()
			await(t, b, "none", cancelled)
			if stats := w.bridge.Stats(); stats.Runs != 0 {
				eventually(t, "the run is forgotten", func() bool { return w.bridge.Stats().Runs == 0 })
			}
		})
		t.Run("until done", func(t *testing.T) {
			b.Define("run", script.Note("a"), script.Gate("done"), script.Note("b"))
			w := startOn(t, v, upstreams(address)+"rules: [{selector: demo.script.v1.ScriptService.Play, stream: {until_done: true}}]\n")
			s := w.get("/v1/play/run?stream=done")
			e := s.expect("note")
			s.leave()
			eventually(t, "the reader has left", func() bool { return w.bridge.Stats().Readers == 0 })
			b.Open("done")
			await(t, b, "done", func(calls []*scriptv1.Call) bool { return script.AllEnded(1)(calls) && calls[0].GetSent() == 2 })
			s = w.get("/v1/play/run?stream=done", from(e.ID))
			s.expect("note", `"text":"b"`)
			s.expect("stream.end", `"code":0`)
		})
	})
}

// A client that leaves before its head came does not leave a call behind that nobody can find.
func TestLeavingInsideTheWindow(t *testing.T) {
	onEveryWay(t, func(t *testing.T, v way) {
		b, address := scripted(t)
		b.Define("late", script.Gate("never"))
		w := startOn(t, v, upstreams(address)+"open_window: 10s\nrules: [{selector: demo.script.v1.ScriptService.Play, stream: {linger: 0s}}]\n")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if response, err := w.client.Do(w.request("GET", "/v1/play/late", "").WithContext(ctx)); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		}()
		await(t, b, "", script.Begun(1))
		cancel()
		<-done
		await(t, b, "", cancelled)
	})
}
