package feed_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// from is the cursor, behind sequence, that a bridge handed out an hour ago which has forgotten everything since: only
// what the id itself says is left.
func (w *world) from(sequence int) string {
	rule := cursor.NewRule(&schema.Resume{Event: pathTo("sequence"), Request: pathTo("sequence")})
	value, _ := rule.Of([]byte(wire("", sequence)))
	return event.ID{
		Position: event.Position(time.Now().Add(-time.Hour).UnixMicro()), Mark: event.NewMark(),
		Check: event.CheckOf(string(w.method.Name), []byte("canonical")), Backend: rule.Encode(value),
	}.String()
}

// rises fails where an id is not above the one before.
func (r *reader) rises() {
	r.t.Helper()
	var last event.Position
	for i, e := range r.events {
		id, ok := event.Parse(e.ID)
		if e.ID == "" {
			continue
		}
		if !ok || id.Position <= last && i > 1 {
			r.t.Errorf("id %s (%s) follows position %d", e.ID, e.Type, last)
		}
		last = id.Position
	}
}

func TestCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		presented := w.from(3)
		back := w.join(presented)
		first, second := <-w.backend.calls, <-w.backend.calls
		own, common := first, second
		if len(first.from) == 0 {
			own, common = second, first
		}
		if len(common.from) != 0 || string(own.from) != wire("", 3)[2:] {
			t.Fatalf("calls were opened with %q and %q, want one as requested and one behind 3", common.from, own.from)
		}
		common.send(wire("a", 6))
		own.send(wire("a", 4), wire("a", 5), wire("a", 6))
		common.send(wire("a", 7))
		back.sees("open a4 a5 a6 a7")
		back.rises()
		if !strings.Contains(back.events[0].Data, `"resumed":true`) {
			t.Errorf("stream.open says %s", back.events[0].Data)
		}
		if stats := w.feed.Stats(); stats.Active != 1 {
			t.Errorf("%d calls run, want the shared one alone", stats.Active)
		}
		direct := w.join(cursorAfter(t, back, "a6"))
		common.send(wire("a", 8))
		direct.sees("open a7 a8")
		closing(back, direct)
	})
}

// cursorAfter is the id of the event with data, as a bridge without its log would be shown it.
func cursorAfter(t *testing.T, r *reader, data string) string {
	t.Helper()
	for _, e := range r.events {
		if e.Data == data {
			return e.ID
		}
	}
	t.Fatalf("no event %s", data)
	return ""
}

// TestCatchingUpMeetsEitherWay has the shared call bring the events before, between and after those of the call of one's
// own.
func TestCatchingUpMeetsEitherWay(t *testing.T) {
	for _, order := range []string{"scccsss", "csscccss", "cscscsc", "cccssss", "ssssccc"} {
		t.Run(order, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, resumable)
				keeper := w.join("")
				common := <-w.backend.calls
				back := w.join(w.from(3))
				own := <-w.backend.calls
				s, c := 5, 3 // the shared call began behind 5
				for _, who := range order {
					if who == 's' {
						s++
						common.send(wire("a", s))
					} else if c < s+1 {
						c++
						own.send(wire("a", c))
					}
					back.read()
				}
				for c < s {
					c++
					own.send(wire("a", c))
					back.read()
				}
				common.send(wire("a", s+1))
				own.send(wire("a", s+1))
				back.read()
				common.send(wire("a", s+2))
				want := "open"
				for n := 4; n <= s+2; n++ {
					want += fmt.Sprintf(" a%d", n)
				}
				back.sees(want)
				back.rises()
				if stats := w.feed.Stats(); stats.Active != 1 {
					t.Errorf("%d calls run, want the shared one alone", stats.Active)
				}
				closing(keeper, back)
			})
		})
	}
}

// TestMeetingWhileEventsCome has both calls bring their events as fast as they can: what the call of one's own receives
// while the two meet is not sent a second time from the shared log.
func TestMeetingWhileEventsCome(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			w := items(t, resumable)
			keeper := w.join("")
			common := <-w.backend.calls
			back := w.join(w.from(3))
			own := <-w.backend.calls
			for n := 4; n <= 9; n++ {
				common.steps <- wire("a", n)
				own.steps <- wire("a", n)
			}
			synctest.Wait()
			back.sees("open a4 a5 a6 a7 a8 a9")
			back.rises()
			closing(keeper, back)
		})
	}
}

// TestAheadOfTheSharedLog has a client come from another bridge, which was faster: what it has is not sent again.
func TestAheadOfTheSharedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		keeper := w.join("")
		common := <-w.backend.calls
		common.send(wire("a", 4), wire("a", 5))
		ahead := w.join(w.from(7))
		if len(w.backend.calls) != 1 {
			t.Fatal("the reader goes on in a log that lies behind what it has")
		}
		own := <-w.backend.calls
		common.send(wire("a", 6), wire("a", 7))
		own.send(wire("a", 8))
		common.send(wire("a", 8), wire("a", 9))
		ahead.sees("open a8 a9")
		ahead.rises()
		closing(keeper, ahead)
	})
}

func TestReadersOfOneCursorCatchUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		presented := w.from(3)
		var readers []*reader
		for range 100 {
			readers = append(readers, w.join(presented))
		}
		if len(w.backend.calls) != 2 {
			t.Fatalf("100 readers of one cursor cost %d calls, want the shared one and one that catches up", len(w.backend.calls))
		}
		closing(readers...)
	})
}

// TestDrainWhileCatchingUp: who is being caught up when the window is over is told to come back, as all others are, and
// not that something is missing.
func TestDrainWhileCatchingUp(t *testing.T) {
	for range 30 { // nobody, some or all have been told before that
		synctest.Test(t, func(t *testing.T) {
			w := items(t, resumable)
			keeper := w.join("")
			(<-w.backend.calls).send(wire("a", 6))
			back := w.join(w.from(3))
			(<-w.backend.calls).send(wire("a", 4))
			keeper.read()
			back.read()
			go w.feed.Drain(0, 3*time.Second)
			synctest.Wait()
			keeper.sees("open a6 busy:drain")
			back.sees("open a4 busy:drain")
			closing(keeper, back)
		})
	}
}

// TestNoRoomToCatchUp: where the backend has no room for the call that catches up, nothing is missing yet.
func TestNoRoomToCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		keeper := w.join("")
		(<-w.backend.calls).send(wire("a", 6))
		back := w.join(w.from(3))
		(<-w.backend.calls).send(poolFull())
		back.sees("open busy:overload")
		closing(keeper, back)
	})
}

// TestBackToACatchUpThatWasLeft has a reader come back in the moment in which its call is given up.
func TestBackToACatchUpThatWasLeft(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			w := items(t, resumable)
			keeper := w.join("")
			<-w.backend.calls
			presented := w.from(3)
			first := w.join(presented)
			<-w.backend.calls
			first.Close()
			again := w.join(presented)
			if len(w.backend.calls) != 1 {
				again.read()
				t.Fatalf("the client saw %q, and no call was made for it", again.text())
			}
			(<-w.backend.calls).send(wire("a", 4))
			again.sees("open a4")
			closing(keeper, again)
		})
	}
}

func TestCatchUpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		keeper := w.join("")
		<-w.backend.calls
		readers := []*reader{keeper}
		for n := range 65 {
			readers = append(readers, w.join(w.from(n+1)))
		}
		if len(w.backend.calls) != 64 {
			t.Errorf("%d calls catch up, want 64", len(w.backend.calls))
		}
		readers[64].sees("open")
		readers[65].sees("open:expired reset:expired")
		closing(readers...)
	})
}

func TestCatchingUpTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		back := w.join(w.from(3))
		own, common := <-w.backend.calls, <-w.backend.calls
		if len(own.from) == 0 {
			own, common = common, own
		}
		own.send(wire("a", 4))
		time.Sleep(time.Hour) // nothing happens: nothing is missed
		back.sees("open a4")
		common.send(wire("a", 9))
		time.Sleep(31 * time.Second)
		back.sees("open a4 reset:expired")
		common.send(wire("a", 10))
		back.sees("open a4 reset:expired a10")
		back.rises()
		closing(back)
	})
}

func TestCompactedWhileCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable, starting(schema.StartEarliest))
		keeper := w.join("")
		common := <-w.backend.calls
		common.send(wire("a", 8))
		back := w.join(w.from(3))
		(<-w.backend.calls).send(expired{})
		back.sees("open reset:expired a8")
		closing(keeper, back)
	})
}

// TestForgedCursors shows that what a client invents reaches no other reader.
func TestForgedCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		keeper := w.join("")
		common := <-w.backend.calls
		forged, _ := event.Parse(w.from(3))
		forged.Backend = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		malformed := w.join(forged.String())
		malformed.sees("open:unknown_cursor reset:unknown_cursor")
		forged.Backend, forged.Check = []byte{6}, event.Check([]byte("AAAAA"))
		foreign := w.join(forged.String())
		foreign.sees("open:unknown_cursor reset:unknown_cursor")
		future := w.join(w.from(1 << 40))
		own := <-w.backend.calls
		if len(own.from) == 0 {
			t.Fatal("the shared call was opened again")
		}
		common.send(wire("a", 6))
		keeper.sees("open a6")
		closing(keeper, malformed, foreign, future)
	})
}

// TestCatchingUpDoesNotOutliveTheCursors ends catching up when the shared call's cursors no longer say where its events
// are, because the backend broke their rules or counts anew.
func TestCatchingUpDoesNotOutliveTheCursors(t *testing.T) {
	for name, step := range map[string]any{"broken": wire("a", 5), "anew": &outcome.Outcome{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, resumable)
				keeper := w.join("")
				common := <-w.backend.calls
				common.send(wire("a", 9))
				back := w.join(w.from(3))
				own := <-w.backend.calls
				own.send(wire("a", 4))
				common.send(step)
				back.sees("open a4 reset:expired")
				common.send(wire("a", 7))
				back.sees("open a4 reset:expired a7")
				closing(keeper, back)
			})
		})
	}
}

// TestCatchingUpBehindATrimmedCall: who comes with the cursor of a call that has let go of its first events gets a call of
// its own, since one that begins there can still bring them.
func TestCatchingUpBehindATrimmedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable, func(s *schema.Stream) { s.Retention.Events = 10 })
		keeper := w.join("")
		<-w.backend.calls
		presented := w.from(3)
		first := w.join(presented)
		c := <-w.backend.calls
		for n := 4; n < 50; n++ {
			c.send(wire("a", n))
			first.read()
		}
		second := w.join(presented)
		select {
		case own := <-w.backend.calls:
			own.send(wire("a", 4))
		default:
			t.Error("no call was made")
		}
		second.sees("open a4")
		closing(keeper, first, second)
	})
}
