package feed_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

func TestManyReadersCostOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		first := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1))
		second := w.join("")
		c.send(wire("a", 2))
		first.sees("open a1 a2")
		second.sees("open a2")
		if first.lastID() != second.lastID() {
			t.Errorf("one event with two ids: %s and %s", first.lastID(), second.lastID())
		}
		if len(w.backend.calls) != 0 {
			t.Error("the second reader was given a call of its own")
		}
		closing(first, second)
		if w.feed.Stats().Active != 1 {
			t.Error("the call ended with its readers, before its linger")
		}
		time.Sleep(31 * time.Second)
		if w.feed.Stats().Active != 0 {
			t.Error("the call goes on for nobody")
		}
	})
}

func TestKeysNeverMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		one := w.join("")
		<-w.backend.calls
		other := w.subscribe(func(r *feed.Request) { w.joining("")(r); r.StreamKey = access.StreamKey{2} })
		synctest.Wait()
		if len(w.backend.calls) != 1 {
			t.Fatal("another key was given the same call")
		}
		(<-w.backend.calls).send(wire("secret", 1))
		other.sees("open secret1")
		one.sees("open")
		stolen := w.join(other.lastID())
		stolen.sees("open:unknown_cursor reset:unknown_cursor")
		closing(one, other, stolen)
	})
}

func TestStarts(t *testing.T) {
	for start, want := range map[schema.Start]string{
		schema.StartLive:         "open a4",
		schema.StartEarliest:     "open a1 b2 a3 a4",
		schema.StartLatestPerKey: "open b2 a3 bookmark a4",
	} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(start))
				first := w.join("")
				c := <-w.backend.calls
				c.send(wire("a", 1), wire("b", 2), wire("a", 3))
				late := w.join("")
				c.send(wire("a", 4))
				late.sees(want)
				if !strings.Contains(late.events[0].Data, `"start":"`+start.String()+`"`) {
					t.Errorf("stream.open says %s", late.events[0].Data)
				}
				closing(first, late)
			})
		})
	}
}

// TestCutAnywhere cuts a late joiner after each of its frames: what it sees in all is what it would have seen uncut.
func TestCutAnywhere(t *testing.T) {
	for _, start := range []schema.Start{schema.StartLive, schema.StartEarliest, schema.StartLatestPerKey} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(start))
				keeper := w.join("")
				c := <-w.backend.calls
				c.send(wire("a", 1), wire("b", 2), wire("c", 3), wire("a", 4))
				late := w.join("")
				late.read()
				c.send(wire("b", 5), wire("d", 6))
				late.read()
				whole := late.events
				for n := 1; n <= len(whole); n++ {
					again := w.join(whole[n-1].ID)
					again.read()
					if !strings.Contains(again.events[0].Data, `"resumed":true`) || again.events[0].ID != whole[n-1].ID {
						t.Errorf("cut after %s: %+v", whole[n-1].ID, again.events[0])
					}
					// b changed behind the snapshot: its old event is left out, its new one follows.
					var wantData, gotData []string
					for _, e := range whole[n:] {
						if e.Data != "b2" || start != schema.StartLatestPerKey {
							wantData = append(wantData, e.Type+e.Data)
						}
					}
					for _, e := range again.events[1:] {
						gotData = append(gotData, e.Type+e.Data)
					}
					if strings.Join(wantData, " ") != strings.Join(gotData, " ") {
						t.Errorf("%d frames, then a cut after %s: got %q, want %q", n, whole[n-1].ID, gotData, wantData)
					}
					closing(again)
				}
				closing(keeper, late)
			})
		})
	}
}

func TestDeletedKeysAreNoLongerSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey))
		first := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1), wire("b", 2), deletion("a", 3), wire("", 4))
		late := w.join("")
		late.sees("open b2 bookmark")
		first.sees("open bookmark a1 b2 a3 4")
		closing(first, late)
	})
}

func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey), func(s *schema.Stream) { s.MaxKeys = 2 })
		first := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1), wire("b", 2), wire("a", 3), wire("c", 4))
		late := w.join("")
		late.sees("open a3 c4 bookmark")
		closing(first, late)
		time.Sleep(31 * time.Second)
		if used := w.budget.Used(); used != 0 {
			t.Errorf("%d bytes are counted for a stream that is gone", used)
		}
	})
}

// TestStateOutlivesRetention keeps keys whose events the log has dropped.
func TestStateOutlivesRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey), func(s *schema.Stream) { s.Retention.Events = 2 })
		first := w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1), wire("b", 2), wire("b", 3), wire("b", 4), wire("b", 5))
		late := w.join("")
		late.sees("open a1 b5 bookmark")
		closing(first, late)
	})
}

// TestSlowReadersOfSharedStreams falls out of the log again and again without coming to its end: the third time a reader
// is moved there. Nobody waits for it.
func TestSlowReadersOfSharedStreams(t *testing.T) {
	for start, want := range map[schema.Start]string{
		schema.StartLive:         "open a1 reset:expired a9 reset:expired a19 reset:expired a31",
		schema.StartEarliest:     "open a1 reset:expired a9 reset:expired a19 reset:expired a31",
		schema.StartLatestPerKey: "open bookmark a1 reset:expired a10 bookmark reset:expired a20 bookmark reset:expired a30 bookmark a31",
	} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(start), func(s *schema.Stream) { s.Retention.Events = 2 })
				fast, slow := w.join(""), w.join("")
				c := <-w.backend.calls
				sequence := 0
				next := func() {
					sequence++
					c.send(wire("a", sequence))
					fast.read()
				}
				next()
				slow.step()
				if start == schema.StartLatestPerKey {
					slow.step() // the bookmark was first
				}
				for range 3 {
					next()
					for sequence%10 != 0 {
						next()
					}
					slow.step() // the reset
					slow.step() // an event, or the snapshot
				}
				next()
				slow.sees(want)
				if strings.Contains(fast.text(), "reset") {
					t.Errorf("the fast reader was reset: %q", fast.text())
				}
				closing(fast, slow)
			})
		})
	}
}

func TestSharedRestartIsSaidToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey))
		first, second := w.join(""), w.join("")
		c := <-w.backend.calls
		c.send(wire("a", 1), &outcome.Outcome{}, wire("b", 2))
		first.sees("open bookmark a1 reset:upstream_restarted b2")
		second.sees("open bookmark a1 reset:upstream_restarted b2")
		late := w.join("")
		late.sees("open b2 bookmark")
		closing(first, second, late)
	})
}

func TestPositionsStayAboveWhatIsPresented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		ahead := event.Position(time.Now().Add(time.Minute).UnixMicro())
		two := w.join(event.At(ahead, event.NewMark()).String())
		three := w.join(event.At(ahead+500, event.NewMark()).String())
		c := <-w.backend.calls
		c.send(wire("a", 1))
		for _, r := range []*reader{two, three} {
			r.read()
			last, _ := event.Parse(r.lastID())
			if presented, _ := event.Parse(r.events[0].ID); last.Position <= presented.Position {
				t.Errorf("%d was presented, and the next event is %d", presented.Position, last.Position)
			}
		}
		closing(two, three)
	})
}

// TestACrowdSharesItsSnapshot: a thousand browsers that come at once must not need a thousand copies of the state.
func TestACrowdSharesItsSnapshot(t *testing.T) {
	const keys, crowd, most = 2000, 50, 20 << 10
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey), func(s *schema.Stream) { s.MaxKeys = keys })
		readers := []*reader{w.join("")}
		c := <-w.backend.calls
		for i := range keys {
			c.steps <- wire(fmt.Sprintf("k%d-", i), 1)
		}
		synctest.Wait()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range crowd {
			readers = append(readers, w.join(""))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / crowd; each > most {
			t.Errorf("a reader of %d keys holds %d bytes before it has read any, want at most %d", keys, each, most)
		}
		c.send(wire("k0-", 2))
		for _, r := range readers[1:] {
			if r.read(); len(r.events) != 1+keys+1+1 { // stream.open, the keys, the bookmark, what came since
				t.Fatalf("a reader got %d events", len(r.events))
			}
		}
		late := w.join("")
		if late.read(); len(late.events) != 1+keys+1 || late.events[keys].Data != "k0-2" {
			t.Errorf("who came after a change got %d events, the newest %s", len(late.events), late.events[keys].Data)
		}
		closing(append(readers, late)...)
	})
}
