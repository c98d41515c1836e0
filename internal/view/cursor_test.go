package view_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

var _ view.Stream = (*feed.Subscription)(nil)

// log is the types of a log's events: an event's position is its index.
type log []string

func (l log) frame(position int) string {
	return frame(id(position), l[position], fmt.Sprintf(`{"n":%d}`, position))
}

// tailer reads a log from a position on, a few events at a time.
type tailer struct {
	stream
	log     log
	at      int // everything up to here was written
	pending int
	most    func() int // how many events the next batch may have
}

func (r *tailer) Next(int) ([]byte, error) {
	var b strings.Builder
	for r.pending = r.at; r.pending+1 < len(r.log) && r.pending-r.at < r.most(); {
		r.pending++
		b.WriteString(r.log.frame(r.pending))
	}
	if b.Len() == 0 && r.at+1 == len(r.log) {
		return nil, io.EOF
	}
	return []byte(b.String()), nil
}

func (r *tailer) Written() { r.at = r.pending }

// TestACursorIsGoodUnderAnyView: a reader that is cut anywhere, and comes back with another filter and in another form,
// gets every event that its filter shows once, in order; and its cursor never falls far behind what it was not shown.
func TestACursorIsGoodUnderAnyView(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(r, "events")
		l := log(append([]string{""}, rapid.SliceOfN(rapid.SampledFrom([]string{"price", "trade", "quote"}), n, n).Draw(r, "log")...))
		c := newClock()
		cursor := 0
		for session := 0; cursor+1 < len(l) && session < 100; session++ {
			types := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"price", "trade", "quote", "other"}), 0, 3, rapid.ID).Draw(r, "types")
			form := rapid.SampledFrom([]view.Representation{view.SSE, view.NDJSON}).Draw(r, "form")
			s := &tailer{log: l, at: cursor, most: func() int { return rapid.IntRange(0, 4).Draw(r, "batch") }}
			v := view.New(s, view.Options{Representation: form, Events: types, Retention: retention, Now: c.now, Poll: rapid.Bool().Draw(r, "poll")})
			v.Opening(nil, time.Second)
			got, end := readUntilCut(r, v, c, form, cursor)
			if behind := s.at - end; behind > retention.Events/4+4 {
				r.Fatalf("the cursor is %d events behind", behind)
			}
			var want []int
			for position := cursor + 1; position <= end; position++ {
				if shows(types, l[position]) {
					want = append(want, position)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				r.Fatalf("events from %d to %d under %v (-want +got):\n%s", cursor, end, types, diff)
			}
			cursor = end
		}
	})
}

func shows(types []string, name string) bool {
	if len(types) == 0 {
		return true
	}
	return slices.Contains(types, name)
}

// readUntilCut reads a response until it ends or is cut, and returns the positions of the events and the last cursor.
func readUntilCut(r *rapid.T, v *view.View, c *clock, form view.Representation, cursor int) (events []int, last int) {
	last = cursor
	take := func(b []byte) {
		for _, f := range framesOf(r, b, form) {
			if f.position < last || f.position == last && f.event {
				r.Fatalf("the cursor goes from %d to %d", last, f.position)
			}
			last = f.position
			if f.event {
				events = append(events, f.position)
			}
		}
	}
	for range rapid.IntRange(1, 12).Draw(r, "steps") {
		c.pass(time.Duration(rapid.IntRange(0, 8).Draw(r, "seconds")) * time.Second)
		b, err := v.Next(1)
		if err != nil {
			return events, last
		}
		if len(b) == 0 {
			take(v.Beat(nil))
			continue
		}
		take(b)
		v.Written()
	}
	if rapid.Bool().Draw(r, "leaves") {
		b, err := v.Leave(nil, "")
		if err != nil {
			r.Fatal(err)
		}
		take(b)
	}
	return events, last
}

type readFrame struct {
	position int
	event    bool
}

// framesOf reads what a client reads.
func framesOf(r *rapid.T, b []byte, form view.Representation) (frames []readFrame) {
	add := func(id, name string) {
		parsed, ok := event.Parse(id)
		if !ok {
			r.Fatalf("%q is no id", id)
		}
		frames = append(frames, readFrame{int(parsed.Position), !strings.HasPrefix(name, "stream.")})
	}
	if form == view.NDJSON {
		for line := range strings.Lines(string(b)) {
			var id, name string
			if n, _ := fmt.Sscanf(line, `{"id":%q,"event":%q,`, &id, &name); n == 2 {
				add(id, name)
			}
		}
		return frames
	}
	for len(b) != 0 {
		f, rest, ok := sse.CutFrame(b)
		if !ok {
			r.Fatalf("%q is no frame", b)
		}
		if len(f.ID) != 0 {
			add(string(f.ID), string(f.Event))
		}
		b = rest
	}
	return frames
}
