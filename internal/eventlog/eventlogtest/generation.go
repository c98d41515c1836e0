package eventlogtest

import (
	"errors"
	"io"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// second is the start of the second generation in these cases: the first has the records 1001 to 1003, the second those
// from 5001 on.
const second event.Position = 5000

var generationCases = []testCase{
	{
		"a log goes on under a new mark, above what it was told",
		"a client that has higher ids from before a restart would see them go back",
		func(t *testing.T, open Open) {
			for _, mode := range []eventlog.Mode{eventlog.Paced, eventlog.Newest, eventlog.Shared} {
				l := twoGenerations(t, open, eventlog.Options{Mode: mode})
				bounds(t, l, start, second+2)
				if from, to := l.Generation(); from != second || to != second+2 || l.Start() != start {
					t.Errorf("the generation is (%d, %d], the log starts at %d", from, to, l.Start())
				}
			}
		},
	},
	{
		"a start that was settled stays, and is followed by a generation",
		"the cursor that a client was given would not be known, or its next id would lie below another's",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			if got := l.Settle(start); got != start {
				t.Errorf("Settle = %d", got)
			}
			first := l.Mark()
			if !l.Advance(second) || l.Mark() == first || !l.Mark().SameRun(first) || l.Start() != start {
				t.Errorf("the start moved to %d, under the mark %s after %s", l.Start(), l.Mark(), first)
			}
			if !l.Holds(first, start) || !l.Holds(l.Mark(), second) {
				t.Error("a start is not held")
			}
			bounds(t, l, second, second)
			add(l, "a")
			for _, pos := range []event.Position{start, second} {
				if records, next, err := l.Read(pos, 10); string(records) != "a" || next != second+1 || err != nil {
					t.Errorf("Read(%d) = %q, %d, %v", pos, records, next, err)
				}
			}
		},
	},
	{
		"a start that nobody was given moves instead, and who stands at it moves along",
		"every client that comes would leave a generation behind",
		func(t *testing.T, open Open) {
			l := twoGenerations(t, open, eventlog.Options{})
			l.Advance(9000)
			third := l.Mark()
			if !l.Advance(9500) || l.Mark() != third || l.Holds(third, 9000) || !l.Holds(third, 9500) {
				t.Error("the start did not move")
			}
			if got := l.Settle(9000); got != 9500 {
				t.Errorf("Settle = %d", got)
			}
		},
	},
	{
		"nothing is advanced to what is not above, nor in a log that has ended",
		"ids would go back, or follow the end",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			addMany(l, 3, 1)
			mark := l.Mark()
			if l.Advance(0) || l.Advance(start) || l.Advance(start+3) || l.Mark() != mark {
				t.Error("advanced to what is not above")
			}
			l.Seal()
			if l.Advance(second) || l.Mark() != mark {
				t.Error("a sealed log was advanced")
			}
			l.Close()
			if l.Advance(second) {
				t.Error("a closed log was advanced")
			}
		},
	},
	{
		"readers go on over the gap, from either side",
		"the gap looks like events that are gone, or like the end",
		func(t *testing.T, open Open) {
			l := twoGenerations(t, open, eventlog.Options{})
			for from, want := range map[event.Position]string{start: "abcde", start + 2: "cde", start + 3: "de", second: "de", second + 1: "e"} {
				if records, next, err := l.Read(from, 100); string(records) != want || next != second+2 || err != nil {
					t.Errorf("Read(%d) = %q, %d, %v, want %q", from, records, next, err, want)
				}
			}
			if records, next, err := l.Read(start+1, 2); string(records) != "bc" || next != start+3 || err != nil {
				t.Errorf("Read up to the gap = %q, %d, %v", records, next, err)
			}
			if _, _, err := l.Read(second+3, 10); !errors.Is(err, eventlog.ErrAhead) {
				t.Errorf("ahead: %v", err)
			}
			l.Seal()
			if _, _, err := l.Read(second+2, 10); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		},
	},
	{
		"readers on either side of the gap wait for the event behind it",
		"they would spin, or never be woken",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			addMany(l, 3, 1)
			l.Advance(second)
			for _, pos := range []event.Position{start + 3, second} {
				if records, next, err := l.Read(pos, 10); len(records) != 0 || next != pos || err != nil {
					t.Errorf("Read(%d) = %q, %d, %v", pos, records, next, err)
				}
			}
			news := Watch(l).Next()
			add(l, "x")
			if !isClosed(news) {
				t.Error("a reader is not woken")
			}
			for _, pos := range []event.Position{start + 3, second} {
				if records, next, err := l.Read(pos, 10); string(records) != "x" || next != second+1 || err != nil {
					t.Errorf("Read(%d) = %q, %d, %v", pos, records, next, err)
				}
			}
		},
	},
	{
		"a mark holds its own positions alone",
		"a forged id would be taken for a known one, or a known one for forged",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			addMany(l, 3, 1)
			first := l.Mark()
			l.Advance(second)
			addMany(l, 2, 1)
			for pos, want := range map[event.Position]event.Mark{
				start - 1: {}, start: first, start + 3: first, start + 4: {}, second - 1: {}, second: l.Mark(), second + 2: l.Mark(), second + 3: {},
			} {
				if l.Holds(first, pos) != (want == first) || l.Holds(l.Mark(), pos) != (want == l.Mark()) || l.Holds(event.NewMark(), pos) {
					t.Errorf("position %d: first %t, second %t", pos, l.Holds(first, pos), l.Holds(l.Mark(), pos))
				}
				if want != (event.Mark{}) && l.MarkAt(pos) != want {
					t.Errorf("MarkAt(%d) = %s, want %s", pos, l.MarkAt(pos), want)
				}
			}
		},
	},
	{
		"the end of a generation and the start of the next say the same",
		"a client would be told of a gap where nothing is missing, or given an event twice",
		func(t *testing.T, open Open) {
			l := twoGenerations(t, open, eventlog.Options{})
			for pos, want := range map[event.Position]event.Position{start: start, start + 2: start + 2, start + 3: second, 4000: second, second: second, second + 2: second + 2} {
				if got := l.Onward(pos); got != want {
					t.Errorf("Onward(%d) = %d, want %d", pos, got, want)
				}
			}
			if got := l.Between(start+3, second); got != 0 {
				t.Errorf("%d records are in the gap", got)
			}
			if got := l.Between(start+1, second+1); got != 3 {
				t.Errorf("Between over the gap = %d", got)
			}
			if l.Between(second, start) != 0 {
				t.Error("records are counted backwards")
			}
			for _, pos := range []event.Position{start + 3, second} {
				if record, ok := l.Record(pos); !ok || string(record) != "c" {
					t.Errorf("Record(%d) = %q, %t", pos, record, ok)
				}
			}
		},
	},
	{
		"retention counts events, not positions",
		"the gap would push out all that is kept; and who comes too late is to be told the exact number",
		func(t *testing.T, open Open) {
			for _, mode := range []eventlog.Mode{eventlog.Newest, eventlog.Shared, eventlog.Paced} {
				limits := eventlog.Limits{Age: roomy.Age, Events: 3, Bytes: 1 << 20}
				l := twoGenerations(t, open, eventlog.Options{Mode: mode, Limits: limits})
				l.Written(second + 2)
				bounds(t, l, start+2, second+2)
				_, _, err := l.Read(start, 10)
				if !isTrimmed(err, start+2, 2) {
					t.Errorf("Read: %v", err)
				}
				add(l, "f") // now what is kept begins with the second generation
				l.Written(second + 3)
				bounds(t, l, second, second+3)
				_, _, err = l.Read(start+1, 10)
				if !isTrimmed(err, second, 2) {
					t.Errorf("Read: %v", err)
				}
				if records, _, err := l.Read(start+3, 10); string(records) != "def" || err != nil {
					t.Errorf("Read at the end of the first generation = %q, %v", records, err)
				}
			}
		},
	},
	{
		"a generation is remembered as long as what follows it is kept",
		"a client that has all of it, and misses nothing, would be told that it does",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: roomy.Age, Events: 63, Bytes: 1 << 20}})
			oldest := l.Mark()
			for i := range event.Position(63) {
				add(l, "x")
				if !l.Advance(start + 1000*(i+1)) {
					t.Fatalf("generation %d is not begun", i)
				}
			}
			add(l, "x") // the oldest record is no longer kept: start+1 is the oldest cursor that misses nothing
			if l.Advance(start+100_000) || !l.Holds(oldest, start+1) {
				t.Fatal("the oldest generation was forgotten")
			}
			if records, next, err := l.Read(start+1, 1); string(records) != "x" || next != start+1001 || err != nil {
				t.Errorf("Read = %q, %d, %v", records, next, err)
			}
			add(l, "x")
			if !l.Advance(start+100_000) || l.Holds(oldest, start+1) {
				t.Error("the oldest generation is not forgotten although what followed it is gone")
			}
		},
	},
	{"so many generations are remembered, and not one is forgotten that is needed", "an attacker could fill the memory with them", generationsAreBounded},
}

// twoGenerations is a log with the records abc and de.
func twoGenerations(t *testing.T, open Open, o eventlog.Options) Log {
	t.Helper()
	if o.Limits == (eventlog.Limits{}) {
		o.Limits = roomy
	}
	l := open.make(o)
	for _, record := range []string{"a", "b", "c"} {
		add(l, record)
	}
	first := l.Mark()
	if !l.Advance(second) || l.Mark() == first || !l.Mark().SameRun(first) {
		t.Fatalf("not advanced: mark %s, then %s", first, l.Mark())
	}
	mark := l.Mark()
	for i, record := range []string{"d", "e"} {
		l.Append(func(dst []byte, id event.ID) []byte {
			if id.Position != second+1+event.Position(i) || id.Mark != mark {
				t.Errorf("record %s has the id %s", record, id)
			}
			return append(dst, record...)
		})
	}
	return l
}

func generationsAreBounded(t *testing.T, open Open) {
	const most = 64
	l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: roomy.Age, Events: most / 2, Bytes: 1 << 20}})
	marks := []event.Mark{l.Mark()}
	at := func(i int) event.Position { return start + 1000*event.Position(i) }
	advance := func() bool {
		ok := l.Advance(at(len(marks)))
		if ok {
			marks = append(marks, l.Mark())
		}
		return ok
	}
	for range 3 * most {
		add(l, "x")
		if !advance() {
			t.Fatal("not advanced although old generations are trimmed")
		}
	}
	for i, mark := range marks {
		if kept := len(marks)-i <= most; l.Holds(mark, at(i)) != kept {
			t.Errorf("generation %d of %d is known: %t", i, len(marks), !kept)
		}
	}
	_, _, err := l.Read(at(len(marks)-most), 10)
	if !isTrimmed(err, at(len(marks)-1-most/2), most/2-1) {
		t.Errorf("at the oldest generation: %v", err)
	}
	if _, _, err = l.Read(start, 10); !isTrimmed(err, at(len(marks)-1-most/2), most/2-1) {
		t.Errorf("at one that was forgotten: %v", err)
	}
	for range most { // generations without a record, whose starts clients have
		l.Settle(at(len(marks) - 1))
		if !advance() {
			break
		}
	}
	if oldest, _ := l.Bounds(); !l.Holds(l.MarkAt(oldest), oldest) || advance() {
		t.Error("a generation was forgotten that has records")
	}
	add(l, "x")
	if records, _, err := l.Read(at(len(marks)-1), 10); string(records) != "x" || err != nil {
		t.Errorf("Read = %q, %v", records, err)
	}
}
