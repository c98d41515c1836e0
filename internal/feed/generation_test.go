package feed_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// source is a backend that has one list of events, and begins behind the sequence that a call asks for.
type source struct {
	w    *world
	live []*call
	head int
}

// serve answers the calls that were made since.
func (s *source) serve() {
	for len(s.w.backend.calls) > 0 {
		c := <-s.w.backend.calls
		s.live = append(s.live, c)
		if len(c.from) > 0 {
			after, _ := protowire.ConsumeVarint(c.from[1:])
			for n := int(after) + 1; n <= s.head; n++ {
				c.steps <- wire("a", n)
			}
		}
	}
	synctest.Wait()
}

func (s *source) publish() {
	s.serve()
	s.head++
	for _, c := range s.live {
		c.steps <- wire("a", s.head)
	}
	synctest.Wait()
}

// ahead is a cursor that another bridge handed out, whose clock was so far ahead of this one's: with a cursor of the
// backend's behind sequence, 0 for none.
func (w *world) ahead(by time.Duration, sequence int) string {
	id := event.At(event.Position(time.Now().Add(by).UnixMicro()), event.NewMark())
	if sequence > 0 {
		rule := cursor.NewRule(&schema.Resume{Event: pathTo("sequence"), Request: pathTo("sequence")})
		value, _ := rule.Of([]byte(wire("", sequence)))
		id.Check, id.Backend = event.CheckOf(string(w.method.Name), []byte("canonical")), rule.Encode(value)
	}
	return id.String()
}

// visitor is a client over its whole life: it reconnects with the last id that it has seen.
type visitor struct {
	*reader
	w    *world
	last string
	at   event.Position // the highest that it was given
	seen []string       // the data of all events
	held []string       // the ids that it was given
}

func (w *world) visitor(cursor string) *visitor {
	v := &visitor{w: w, last: cursor}
	if id, ok := event.Parse(cursor); ok {
		v.at = id.Position
	}
	v.connect()
	return v
}

func (v *visitor) connect() {
	v.reader = v.w.join(v.last)
	v.check(0)
}

func (v *visitor) reconnect() {
	closing(v.reader)
	v.connect()
}

func (v *visitor) look() {
	n := len(v.events)
	v.read()
	v.check(n)
}

// check fails where an event is not above all ids before it, or another frame below one.
func (v *visitor) check(from int) {
	v.t.Helper()
	for _, e := range v.events[from:] {
		id, ok := event.Parse(e.ID)
		if !ok || id.Position < v.at || e.Type == "text" && id.Position == v.at {
			v.t.Errorf("%s %s has the id %s, after position %d", e.Type, e.Data, e.ID, v.at)
		}
		v.at, v.last = id.Position, e.ID
		v.held = append(v.held, e.ID)
		if e.Type == "text" {
			v.seen = append(v.seen, e.Data)
		}
	}
}

// sawAll fails where the visitor was not given every event after began up to head, once and in order.
func (v *visitor) sawAll(began, head int) {
	v.t.Helper()
	v.look()
	var want []string
	for n := began + 1; n <= head; n++ {
		want = append(want, fmt.Sprint("a", n))
	}
	if !slices.Equal(v.seen, want) {
		v.t.Errorf("who began behind event %d saw %v, want %v", began, v.seen, want)
	}
}

// TestClientsAheadOfALogWithEvents has clients come, from a bridge whose clock was ahead, to a shared stream that somebody
// else has started: whatever they present, their ids rise, over reconnects too, and nobody loses anything.
func TestClientsAheadOfALogWithEvents(t *testing.T) {
	for _, cursors := range []bool{false, true} {
		t.Run(fmt.Sprint("backend cursors ", cursors), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, func(s *schema.Stream) {
					if cursors {
						resumable(s)
					}
				})
				s := &source{w: w, head: 10}
				fresh := w.visitor("")
				visitors := []*visitor{fresh}
				began := []int{10} // behind which event each visitor begins
				for i := range 20 {
					s.publish()
					s.publish()
					at := s.head // without a cursor of the backend's, LIVE
					by, sequence := time.Duration(i*7%20*27)*time.Second, 0
					if cursors {
						at = i * 11 % (s.head + 1)
						sequence = max(at, 1)
						at = sequence
					}
					visitors = append(visitors, w.visitor(w.ahead(by, sequence)))
					began = append(began, at)
					if i%3 == 0 {
						s.publish()
					}
					visitors[i*5%len(visitors)].look()
				}
				for round := range 3 {
					s.publish()
					for i, v := range visitors {
						if (i+round)%2 == 0 {
							v.look()
						}
						v.reconnect()
						if !strings.Contains(v.events[0].Data, `"resumed":true`) {
							t.Errorf("visitor %d presented %s: %s", i, v.last, v.events[0].Data)
						}
						s.serve()
					}
				}
				s.publish()
				for i, v := range visitors {
					v.sawAll(began[i], s.head)
				}
				if stats := w.feed.Stats(); stats.Active != 1 {
					t.Errorf("%d calls run, want the shared one alone", stats.Active)
				}
				again(t, w, fresh)
				for _, v := range visitors {
					closing(v.reader)
				}
			})
		})
	}
}

// again presents every id that the visitor was given, of all generations: each leads to all that followed it.
func again(t *testing.T, w *world, v *visitor) {
	t.Helper()
	marks := map[event.Mark]bool{}
	for i, id := range v.held {
		parsed, _ := event.Parse(id)
		marks[parsed.Mark] = true
		r := w.join(id)
		r.read()
		var got []string
		for _, e := range r.events[1:] {
			got = append(got, e.Data)
		}
		rest := strings.Join(v.seen, " ")
		if last := strings.Join(got, " "); !strings.HasSuffix(rest, last) || !strings.Contains(r.events[0].Data, `"resumed":true`) {
			t.Errorf("id %d, %s: %s %q", i, id, r.events[0].Data, last)
		}
		closing(r)
	}
	if len(marks) < 5 {
		t.Errorf("only %d generations were begun", len(marks))
	}
}

// TestPositionsThatDoNothing are far below, or too far ahead: one forged id must not end the numbering.
func TestPositionsThatDoNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		s := &source{w: w}
		keeper := w.join("")
		s.publish()
		keeper.read()
		before, _ := event.Parse(keeper.lastID())
		past := event.Position(time.Now().Add(-time.Hour).UnixMicro())
		far := event.Position(time.Now().Add(10*time.Minute + time.Second).UnixMicro())
		for _, pos := range []event.Position{event.MaxPosition, event.MaxPosition - 1, far, past, 0} {
			for _, backend := range []string{w.ahead(0, 0), w.ahead(0, 1), w.ahead(0, 1<<30)} {
				id, _ := event.Parse(backend)
				id.Position = pos
				forged := w.join(id.String())
				s.serve()
				closing(forged)
			}
		}
		s.publish()
		keeper.sees("open a1 a2")
		if after, _ := event.Parse(keeper.lastID()); after.Position != before.Position+1 || after.Mark != before.Mark {
			t.Errorf("%s is followed by %s", before, after)
		}
		closing(keeper)
	})
}

// TestStartMovesBeforeItIsSaid has clients come at once to a stream that has no event yet: whoever is told first where
// reading begins, nobody's ids go back, and what they were told is known.
func TestStartMovesBeforeItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t)
		s := &source{w: w}
		keeper := w.join("")
		s.publish()
		var visitors []*visitor
		for i := range 5 {
			cursor := w.ahead(time.Duration(i)*time.Minute, 0)
			sub, err := w.feed.Subscribe(w.request(w.joining(cursor)))
			if err != nil {
				t.Fatal(err)
			}
			id, _ := event.Parse(cursor)
			visitors = append(visitors, &visitor{w: w, at: id.Position, reader: &reader{Subscription: sub, t: t}})
		}
		for i, v := range visitors {
			v.parse(v.Opening(nil, time.Second))
			v.check(0)
			if i == 2 {
				s.publish()
			}
		}
		s.publish()
		for i, v := range visitors {
			v.reconnect()
			v.look()
			want := "a2 a3"
			if strings.Join(v.seen, " ") != want || !strings.Contains(v.events[0].Data, `"resumed":true`) {
				t.Errorf("visitor %d saw %v, want %s; %s", i, v.seen, want, v.events[0].Data)
			}
			closing(v.reader)
		}
		closing(keeper)
	})
}

// TestCutAnywhereOverGenerations is TestCutAnywhere with a generation that begins in the middle.
func TestCutAnywhereOverGenerations(t *testing.T) {
	for _, start := range []schema.Start{schema.StartLive, schema.StartEarliest, schema.StartLatestPerKey} {
		t.Run(start.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(start))
				keeper := w.join("")
				c := <-w.backend.calls
				next := func(by time.Duration, steps ...any) {
					closing(w.join(w.ahead(by, 0))) // begins a generation
					c.send(steps...)
				}
				c.send(wire("a", 1), wire("b", 2))
				next(time.Minute, wire("c", 3), wire("a", 4))
				next(2 * time.Minute)
				late := w.visitor("")
				late.look()
				next(3*time.Minute, wire("d", 5))
				next(4*time.Minute, wire("e", 6))
				late.look()
				for n := 1; n <= len(late.events); n++ {
					r := w.join(late.events[n-1].ID)
					r.read()
					var want, got []string
					for _, e := range late.events[n:] {
						want = append(want, e.Type+e.Data)
					}
					for _, e := range r.events[1:] {
						got = append(got, e.Type+e.Data)
					}
					if !slices.Equal(got, want) || !strings.Contains(r.events[0].Data, `"resumed":true`) {
						t.Errorf("cut after %s: %s, %q, want %q", late.events[n-1].ID, r.events[0].Data, got, want)
					}
					closing(r)
				}
				closing(keeper, late.reader)
			})
		})
	}
}

// TestAheadWithEverything has a client come that is ahead in its ids and not behind in events: it goes on at once, without
// a call of its own, and what it is told leads to the same place on any bridge.
func TestAheadWithEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, resumable)
		s := &source{w: w, head: 4}
		keeper := w.join("")
		s.publish()
		resumed := w.visitor(w.ahead(time.Minute, 5))
		if len(w.backend.calls) != 0 {
			t.Error("a client that has everything was given a call of its own")
		}
		late := w.visitor(w.ahead(2*time.Minute, 0)) // begins LIVE
		if got := w.join(late.last); !strings.Contains(late.last, "~c") || !strings.Contains(got.events[0].Data, `"resumed":true`) {
			t.Errorf("reading begins at %s: %s", late.last, got.events[0].Data)
		} else {
			closing(got)
		}
		behind := w.visitor(w.ahead(3*time.Minute, 3))
		s.serve()
		behind.look()
		if stats := w.feed.Stats(); stats.Active != 1 || strings.Join(behind.seen, " ") != "a4 a5" {
			t.Errorf("%d calls run after catching up with the end of the log; saw %v", stats.Active, behind.seen)
		}
		s.publish()
		for _, v := range []*visitor{resumed, late, behind} {
			v.look()
			if v.seen[len(v.seen)-1] != "a6" {
				t.Errorf("saw %v", v.seen)
			}
			closing(v.reader)
		}
		closing(keeper)
	})
}

// TestSnapshotOlderThanTheLogRemembers: a quiet key's event lies in a generation that the log has forgotten. Its id is good
// all the same, since it is one of the snapshot's.
func TestSnapshotOlderThanTheLogRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := items(t, starting(schema.StartLatestPerKey), func(s *schema.Stream) { s.Retention.Events = 1 })
		keeper := w.join("")
		c := <-w.backend.calls
		c.send(wire("quiet", 1))
		for n := range 70 { // each begins a generation
			r := w.join(w.ahead(time.Minute+time.Duration(n)*time.Second, 0))
			c.send(wire("a", n+2))
			r.Close()
			time.Sleep(time.Second)
		}
		first := w.named("me", access.Principal{})
		first.step()
		first.expect("open quiet1")
		if err := ack(t, w, access.Principal{}, "me", first.lastID()); err != nil {
			t.Errorf("ack of an event that the client has just got: %v", err)
		}
		back := w.join(first.lastID())
		back.sees("open a71 bookmark")
		reset := w.join(w.ahead(-time.Hour, 0))
		reset.step()
		reset.expect("open:unknown_cursor reset:unknown_cursor quiet1")
		for _, e := range reset.events[1:] {
			if !w.feed.Knows(w.request(w.joining(e.ID))) {
				t.Errorf("the id of %s %s is unknown to who has just given it", e.Type, e.Data)
			}
		}
		closing(keeper, first, back, reset)
	})
}
