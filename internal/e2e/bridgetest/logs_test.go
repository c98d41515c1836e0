package bridgetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// logs is a backend with a log, and what a test does with it.
type logs struct {
	*script.Backend
	t       *testing.T
	address string
	way     way // of the clients of its bridges
}

// logged serves a backend with the log named log, which begins with head events, to people, too.
func logged(t *testing.T, head uint64) *logs {
	t.Helper()
	b := script.New()
	b.Principals = true
	l := &logs{Backend: b, t: t, address: serve(t, b.NewServer())}
	l.define(&scriptv1.Log{Stream: "log", Head: head})
	return l
}

// on makes the clients of the bridges to come speak in this way.
func (l *logs) on(v way) *logs {
	l.way = v
	return l
}

func (l *logs) define(log *scriptv1.Log) {
	l.t.Helper()
	if err := l.DefineLog(log); err != nil {
		l.t.Fatal(err)
	}
}

// bridge starts a bridge in front of the backend: one that knows nothing of those before it.
func (l *logs) bridge(rules string) *world {
	l.t.Helper()
	return startOn(l.t, l.way, upstreams(l.address)+"principal: {header: x-user}\n"+rules)
}

// cursors are those with which the log was asked for, in the order of the calls.
func (l *logs) cursors(log string) []string {
	var all []string
	for _, c := range l.Calls(log) {
		all = append(all, c.GetCursor())
	}
	return all
}

// as sends a request of somebody's.
func as(user string) option {
	return func(r *http.Request) {
		r.Header.Set("X-User", user)
		r.Header.Set("Authorization", user)
	}
}

// links reads the events from the first number to the last, in this order and with nothing between them.
func (s *stream) links(first, last int) (e sse.Event) {
	s.t.Helper()
	for n := first; n <= last; n++ {
		if e = s.next(); !strings.Contains(e.Data, fmt.Sprintf(`"n":"%d"`, n)) {
			s.t.Fatalf("event %s %s %s, want event %d of the log", e.ID, e.Type, e.Data, n)
		}
	}
	return e
}

// resumed checks what stream.open says of the cursor.
func (s *stream) resumed(want bool) *stream {
	s.t.Helper()
	if data := s.openData(); data.Resumed != want {
		s.t.Fatalf("stream.open: %s, want resumed: %t", s.opening.Data, want)
	}
	return s
}

// parsed is an id that must be one.
func parsed(t testing.TB, text string) event.ID {
	t.Helper()
	id, ok := event.Parse(text)
	if !ok {
		t.Fatalf("%q is no id", text)
	}
	return id
}

// acknowledge moves the cursor that is kept for a client.
func (w *world) acknowledge(client, id string, status int, options ...option) {
	w.t.Helper()
	body := mustJSON(w.t, map[string]string{"client_id": client, "id": id})
	if a := w.do("POST", "/sse.ack", body, options...); a.status != status {
		w.t.Fatalf("acknowledging %s: %d %s, want %d", id, a.status, a.body, status)
	}
}
