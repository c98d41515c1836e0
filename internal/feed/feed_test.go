package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a caller whose calls do what a test tells them: each receives steps on its own channel.
type backend struct {
	calls     chan *call // every call as it is made
	cancelled atomic.Int64
}

type call struct {
	upstream.Call
	steps chan any // string: a message; error: the end; *outcome.Outcome: restarted; upstream.Waiting; close: OK
}

func newBackend() *backend { return &backend{calls: make(chan *call, 100)} }

func (b *backend) Stream(ctx context.Context, c upstream.Call) iter.Seq2[upstream.Message, error] {
	made := &call{Call: c, steps: make(chan any, 1000)}
	b.calls <- made
	return func(yield func(upstream.Message, error) bool) {
		for {
			select {
			case <-ctx.Done():
				b.cancelled.Add(1)
				yield(upstream.Message{}, ctx.Err())
				return
			case step, open := <-made.steps:
				switch s := step.(type) {
				case nil:
					if !open {
						return
					}
				case string:
					if !yield(upstream.Message{Data: []byte(s)}, nil) {
						return
					}
				case *outcome.Outcome:
					if !yield(upstream.Message{Restarted: s}, nil) {
						return
					}
				case upstream.Waiting:
					c.Watch.Waiting(s)
				case error:
					yield(upstream.Message{}, s)
					return
				}
			}
		}
	}
}

type textEncoder struct{}

func (textEncoder) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	return sse.AppendFrame(dst, id.Append(nil), sse.MustEventName("text"), wire)
}

// world is a feed with one method and one backend.
type world struct {
	t       *testing.T
	feed    *feed.Feed
	backend *backend
	method  *schema.Method
	budget  *eventlog.Budget
}

func newWorld(t *testing.T, change func(*schema.Stream)) *world {
	w := &world{t: t, backend: newBackend(), budget: eventlog.NewBudget(64 << 20)}
	w.method = &schema.Method{
		Name: "test.Service.Watch", Path: "/test.Service/Watch",
		Stream: schema.Stream{
			Retention: schema.Retention{Age: 10 * time.Minute, Events: 1000, Bytes: 1 << 20},
			Linger:    30 * time.Second,
		},
	}
	if change != nil {
		change(&w.method.Stream)
	}
	w.feed = feed.New(feed.Options{Budget: w.budget})
	t.Cleanup(w.feed.Close)
	return w
}

func (w *world) request(change func(*feed.Request)) feed.Request {
	r := feed.Request{
		Method: w.method, Caller: w.backend, Encoder: func() feed.Encoder { return textEncoder{} },
		Wire: []byte("wire"), Canonical: []byte("canonical"), Restart: w.method.Restarts(http.MethodGet),
	}
	if change != nil {
		change(&r)
	}
	return r
}

func (w *world) subscribe(change func(*feed.Request)) *reader {
	w.t.Helper()
	s, err := w.feed.Subscribe(w.request(change))
	if err != nil {
		w.t.Fatalf("Subscribe: %v", err)
	}
	return w.reader(s)
}

// reader takes what a subscription says apart, as a client would.
type reader struct {
	*feed.Subscription
	t      *testing.T
	events []sse.Event
}

func (w *world) reader(s *feed.Subscription) *reader {
	r := &reader{Subscription: s, t: w.t}
	r.parse(s.Opening(nil, 3*time.Second))
	return r
}

func (r *reader) parse(frames []byte) {
	p := sse.NewParser(bytes.NewReader(frames), 1<<20)
	for {
		e, err := p.Next()
		if err != nil {
			return
		}
		r.events = append(r.events, e)
	}
}

// read takes what there is, and reports whether the stream has ended.
func (r *reader) read() (ended bool) {
	for {
		frames, err := r.Next(1 << 16)
		if err == io.EOF {
			return true
		}
		if len(frames) == 0 {
			return false
		}
		r.parse(frames)
		r.Written()
	}
}

// text is the events so far, as "type:data" without what differs from run to run.
func (r *reader) text() string {
	var parts []string
	for _, e := range r.events {
		name := strings.TrimPrefix(e.Type, "stream.")
		if e.Type == "text" {
			parts = append(parts, e.Data)
			continue
		}
		if i := strings.Index(e.Data, `"reason":"`); i >= 0 {
			reason, _, _ := strings.Cut(e.Data[i+10:], `"`)
			name += ":" + reason
		}
		if e.Type == "stream.end" {
			code, _, _ := strings.Cut(strings.TrimPrefix(e.Data, `{"code":`), ",")
			name += ":" + strings.TrimSuffix(code, "}")
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " ")
}

func (r *reader) expect(want string) {
	r.t.Helper()
	if got := r.text(); got != want {
		r.t.Errorf("client saw %q, want %q", got, want)
	}
}

func (r *reader) lastID() string { return r.events[len(r.events)-1].ID }

func (r *reader) idOf(data string) string {
	for _, e := range r.events {
		if e.Data == data {
			return e.ID
		}
	}
	r.t.Fatalf("no event %q", data)
	return ""
}

func with(cursor string) func(*feed.Request) { return func(r *feed.Request) { r.Cursor = cursor } }

func TestReadsACallToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		if !r.Fresh {
			t.Error("a new call is not fresh")
		}
		c := <-w.backend.calls
		for i := range 3 {
			c.steps <- fmt.Sprint("e", i)
		}
		close(c.steps)
		synctest.Wait()
		if !r.read() {
			t.Error("the stream has not ended")
		}
		r.expect("open e0 e1 e2 end:0")
		var last event.Position
		for _, e := range r.events[1:] {
			n, _ := strconv.ParseUint(strings.Split(e.ID, ".")[0], 10, 64)
			if last != 0 && event.Position(n) != last+1 {
				t.Errorf("id %s after position %d", e.ID, last)
			}
			last = event.Position(n)
		}
		if !strings.HasSuffix(r.lastID(), ".end") {
			t.Errorf("last id %s", r.lastID())
		}
		if _, err := w.feed.Subscribe(w.request(with(r.lastID()))); !errors.Is(err, feed.ErrEnded) {
			t.Errorf("Subscribe with the end's id: %v", err)
		}
	})
}

func TestResumesAtEveryEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		c := <-w.backend.calls
		for i := range 5 {
			c.steps <- fmt.Sprint("e", i)
		}
		synctest.Wait()
		r.read()
		rest := []string{"e0", "e1", "e2", "e3", "e4"}
		for i, e := range r.events {
			again := w.subscribe(with(e.ID))
			again.read()
			again.expect(strings.TrimSpace("open " + strings.Join(rest[i:], " ")))
			if !strings.Contains(again.events[0].Data, `"resumed":true`) || again.events[0].ID != e.ID || again.Fresh {
				t.Errorf("resumed at %s: %v", e.ID, again.events[0])
			}
			again.Close()
		}
		r.Close()
		if len(w.backend.calls) != 0 {
			t.Error("a resumption made another call")
		}
	})
}

func TestCutBeforeTheFirstEventComesBackToTheSameCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		r.Close()
		c := <-w.backend.calls
		again := w.subscribe(with(r.lastID()))
		defer again.Close()
		c.steps <- "first"
		synctest.Wait()
		again.read()
		again.expect("open first")
	})
}

func TestUnknownCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		c.steps <- "one"
		synctest.Wait()
		r.read()
		id, _ := event.Parse(r.lastID())
		ahead, other, end := id, id, event.EndAt(id.Position, event.CheckOf("other", nil))
		ahead.Position++
		other.Mark = event.NewMark()
		for name, cursor := range map[string]string{
			"ahead of the log": ahead.String(), "another run": other.String(), "another stream's end": end.String(),
			"garbage": "garbage", "too long": strings.Repeat("9", 500),
		} {
			restarted := w.subscribe(with(cursor))
			restarted.expect("open:unknown_cursor reset:unknown_cursor")
			(<-w.backend.calls).steps <- "again"
			synctest.Wait()
			restarted.read()
			restarted.expect("open:unknown_cursor reset:unknown_cursor again")
			if parsed, ok := event.Parse(cursor); ok && !parsed.End && restarted.events[0].ID != cursor {
				t.Errorf("%s: the first id is %s, not the cursor presented", name, restarted.events[0].ID)
			}
			restarted.Close()
			ended := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = cursor, false })
			if !ended.read() {
				t.Errorf("%s: not ended", name)
			}
			ended.expect("open:unknown_cursor end:5")
			ended.Close()
			if _, err := w.feed.Subscribe(w.request(with(ended.lastID()))); !errors.Is(err, feed.ErrEnded) {
				t.Errorf("%s: Subscribe with the end's id: %v", name, err)
			}
			if len(w.backend.calls) != 0 {
				t.Errorf("%s: a call was made although it must not run again", name)
			}
		}
		for name, change := range map[string]func(*feed.Request){
			"another principal": func(q *feed.Request) { q.Principal = access.Principal{1} },
			"another request":   func(q *feed.Request) { q.Canonical = []byte("other") },
			"another method": func(q *feed.Request) {
				m := *q.Method
				m.Name = "test.Service.Other"
				q.Method = &m
			},
		} {
			stranger := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = r.lastID(), false; change(q) })
			if got := stranger.text(); got != "open:unknown_cursor end:5" {
				t.Errorf("%s: client saw %q", name, got)
			}
			stranger.Close()
		}
	})
}

func TestFlippedCursorsAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		(<-w.backend.calls).steps <- "secret"
		synctest.Wait()
		r.read()
		cursor := []byte(r.events[0].ID)
		dot := bytes.IndexByte(cursor, '.')
		for i := dot; i < len(cursor); i++ {
			flipped := bytes.Clone(cursor)
			flipped[i] ^= 1
			s := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = string(flipped), false })
			s.read()
			if strings.Contains(s.text(), "secret") {
				t.Errorf("cursor %q reads the stream of %q", flipped, cursor)
			}
			s.Close()
		}
	})
}

func TestKeysNameCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		keyed := func(q *feed.Request) { q.Key = "aaaaaaaaaaaaaaaaaaaaaa" }
		r := w.subscribe(keyed)
		c := <-w.backend.calls
		c.steps <- "one"
		synctest.Wait()
		r.read()
		r.Close()
		again := w.subscribe(keyed)
		again.read()
		again.expect("open one")
		again.Close()
		if _, err := w.feed.Subscribe(w.request(func(q *feed.Request) { keyed(q); q.Canonical = []byte("x") })); !errors.Is(err, feed.ErrKeyConflict) {
			t.Errorf("another request under the key: %v", err)
		}
		other := w.subscribe(func(q *feed.Request) { keyed(q); q.Principal = access.Principal{7} })
		synctest.Wait()
		other.Close()
		if len(w.backend.calls) != 1 {
			t.Errorf("%d calls for another principal with the key, want its own", len(w.backend.calls))
		}
		<-w.backend.calls
		unknown := w.subscribe(func(q *feed.Request) { keyed(q); q.Cursor = "lost" })
		unknown.read()
		unknown.expect("open:unknown_cursor reset:unknown_cursor one")
		unknown.Close()
		close(c.steps)
		synctest.Wait()
		sealed := w.subscribe(keyed)
		sealed.read()
		sealed.expect("open one end:0")
		sealed.Close()
	})
}

func TestLinger(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*schema.Stream)
		away   time.Duration
		kept   bool
	}{
		{"back in time", nil, 29 * time.Second, true},
		{"too late", nil, 31 * time.Second, false},
		{"zero cancels at once", func(s *schema.Stream) { s.Linger = 0 }, 0, false},
		{"until done", func(s *schema.Stream) { s.Linger, s.UntilDone = 0, true }, time.Hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tc.change)
				r := w.subscribe(nil)
				c := <-w.backend.calls
				c.steps <- "one"
				synctest.Wait()
				r.read()
				r.Close()
				time.Sleep(tc.away)
				synctest.Wait()
				if cancelled := w.backend.cancelled.Load() == 1; cancelled == tc.kept {
					t.Errorf("call cancelled: %v", cancelled)
				}
				if tc.kept {
					c.steps <- "two"
					synctest.Wait()
				}
				again := w.subscribe(with(r.lastID()))
				again.read()
				if tc.kept {
					again.expect("open two")
				} else {
					again.expect("open:unknown_cursor reset:unknown_cursor")
				}
				again.Close()
			})
		})
	}
}

func TestSealedRunsAreKeptForTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Age = time.Second })
		r := w.subscribe(nil)
		c := <-w.backend.calls
		c.steps <- "one"
		c.steps <- outcome.New(codes.FailedPrecondition, "no more").Err()
		synctest.Wait()
		r.Close()
		time.Sleep(59 * time.Second)
		late := w.subscribe(with(r.lastID()))
		late.read()
		late.expect("open one end:9")
		late.Close()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := w.feed.Stats(); s.Runs != 0 {
			t.Errorf("%d runs are kept", s.Runs)
		}
		if w.budget.Used() != 0 {
			t.Errorf("%d bytes are held", w.budget.Used())
		}
		fresh := w.subscribe(nil)
		synctest.Wait()
		fresh.Close()
		if len(w.backend.calls) != 1 {
			t.Error("a request without a cursor did not start a new call")
		}
	})
}

func TestUpstreamRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		c.steps <- "one"
		c.steps <- upstream.Waiting{Code: codes.Unavailable, Attempt: 1, RetryIn: time.Second}
		synctest.Wait()
		r.read()
		frame, outage := r.Waiting()
		if want := `data: {"code":14,"attempt":1,"retryInMs":1000}`; outage != 1 || !strings.Contains(string(frame), want) {
			t.Errorf("outage %d: %s", outage, frame)
		}
		c.steps <- &outcome.Outcome{}
		c.steps <- "two"
		c.steps <- upstream.Waiting{Code: codes.Unavailable, Attempt: 1}
		synctest.Wait()
		r.read()
		r.expect("open one reset:upstream_restarted two")
		if _, outage := r.Waiting(); outage != 2 {
			t.Errorf("second outage is number %d", outage)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r := w.subscribe(nil)
		defer r.Close()
		<-w.backend.calls
		id, _ := event.Parse(r.lastID())
		w.feed.Cancel(access.Principal{9}, id)
		w.feed.Cancel(access.Principal{}, event.At(1, event.NewMark()))
		synctest.Wait()
		if r.read() {
			t.Fatal("somebody else could cancel the call")
		}
		w.feed.Cancel(access.Principal{}, id)
		w.feed.Cancel(access.Principal{}, id)
		synctest.Wait()
		r.read()
		r.expect("open end:1")
		if n := w.backend.cancelled.Load(); n != 1 {
			t.Errorf("the backend saw %d cancels", n)
		}
	})
}

func TestSlowerTabIsToldWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Events = 2 })
		fast := w.subscribe(nil)
		defer fast.Close()
		slow := w.subscribe(with(fast.lastID()))
		defer slow.Close()
		c := <-w.backend.calls
		for i := range 6 {
			c.steps <- fmt.Sprint("e", i)
		}
		synctest.Wait()
		fast.read()
		slow.read()
		fast.expect("open e0 e1 e2 e3 e4 e5")
		slow.expect("open reset:expired e4 e5")
		if !strings.Contains(slow.events[1].Data, `"missed":4`) {
			t.Errorf("reset says %s", slow.events[1].Data)
		}
		late := w.subscribe(with(fast.events[0].ID))
		defer late.Close()
		late.read()
		late.expect("open:expired reset:expired e4 e5")
		again := w.subscribe(with(late.events[1].ID))
		defer again.Close()
		again.read()
		again.expect("open e4 e5")
	})
}

func TestPositionsRiseAcrossRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		now := uint64(time.Now().UnixMicro())
		for name, tc := range map[string]struct{ presented, atLeast, below uint64 }{
			"ahead of the clock":     {now + 60e6, now + 60e6 + 1, now + 61e6},
			"far ahead of the clock": {now + 3600e6, now, now + 60e6},
			"behind the clock":       {5, now, now + 60e6},
		} {
			cursor := event.At(event.Position(tc.presented), event.NewMark())
			r := w.subscribe(with(cursor.String()))
			(<-w.backend.calls).steps <- "x"
			synctest.Wait()
			r.read()
			got, _ := event.Parse(r.lastID())
			if p := uint64(got.Position); p <= tc.atLeast || p >= tc.below {
				t.Errorf("%s: after %d comes %d", name, tc.presented, p)
			}
			r.Close()
		}
	})
}

func TestDrain(t *testing.T) {
	for _, restart := range []bool{true, false} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				r := w.subscribe(func(q *feed.Request) { q.Restart = restart })
				(<-w.backend.calls).steps <- "one"
				window, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				drained := make(chan struct{})
				go func() { w.feed.Drain(window, 3*time.Second); close(drained) }()
				synctest.Wait()
				var busy *feed.BusyError
				if _, err := w.feed.Subscribe(w.request(nil)); !errors.As(err, &busy) || busy.Reason != "drain" {
					t.Errorf("a new call while draining: %v", err)
				}
				back := w.subscribe(with(r.lastID()))
				back.Close()
				if r.read() {
					t.Error("the stream ended before the window did")
				}
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if !r.read() {
					t.Error("the stream goes on after the window")
				}
				if restart {
					r.expect("open one busy:drain")
				} else {
					r.expect("open one end:14")
				}
				r.Close()
				synctest.Wait()
				select {
				case <-drained:
				default:
					t.Error("Drain waits although the last reader has left")
				}
			})
		})
	}
}

func TestCallIsReopenedWithTheNewestCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		token := func(s string) func(*feed.Request) {
			return func(q *feed.Request) { q.Metadata = metadata.Pairs("authorization", s) }
		}
		r := w.subscribe(token("old"))
		c := <-w.backend.calls
		newer := w.subscribe(func(q *feed.Request) { token("new")(q); q.Cursor = r.lastID() })
		if got := c.Metadata().Get("authorization"); got[0] != "new" {
			t.Errorf("with both attached: %v", got)
		}
		newer.Close()
		if got := c.Metadata().Get("authorization"); got[0] != "old" {
			t.Errorf("after the newer left: %v", got)
		}
		r.Close()
	})
}

func TestBudgetRefusesNewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Bytes = 1 << 30 })
		r := w.subscribe(nil)
		defer r.Close()
		c := <-w.backend.calls
		for range 1000 {
			c.steps <- strings.Repeat("x", 100<<10)
		}
		synctest.Wait()
		if used := w.budget.Used(); used < 60<<20 || used > 70<<20 {
			t.Errorf("%d bytes are held of 64 MiB", used)
		}
		var busy *feed.BusyError
		if _, err := w.feed.Subscribe(w.request(nil)); !errors.As(err, &busy) || busy.Reason != "overload" {
			t.Errorf("a new call with the budget used up: %v", err)
		}
		for len(c.steps) > 0 {
			r.read()
			synctest.Wait()
		}
		r.read()
		if n := strings.Count(r.text(), "xxxx"); n == 0 || len(r.events) != 1001 {
			t.Errorf("%d events", len(r.events))
		}
	})
}

func TestEndedRunsMakeRoomForNewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s *schema.Stream) { s.Retention.Bytes = 1 << 30 })
		r := w.subscribe(nil)
		c := <-w.backend.calls
		for range 700 {
			c.steps <- strings.Repeat("x", 100<<10)
		}
		synctest.Wait()
		w.feed.Cancel(access.Principal{}, r.opened())
		synctest.Wait()
		r.Close()
		next := w.subscribe(nil)
		defer next.Close()
		if held := w.budget.Used(); held > 1<<20 {
			t.Errorf("%d bytes are held", held)
		}
		gone := w.subscribe(func(q *feed.Request) { q.Cursor, q.Restart = r.events[0].ID, false })
		gone.expect("open:unknown_cursor end:5")
		gone.Close()
	})
}

// opened is the id of the reader's stream.open.
func (r *reader) opened() event.ID {
	id, _ := event.Parse(r.events[0].ID)
	return id
}

func TestDrainGivesUpCallsThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.subscribe(nil).Close()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		w.feed.Drain(ctx, time.Hour)
		if took := time.Since(began); took != 0 {
			t.Errorf("Drain took %v", took)
		}
	})
}
