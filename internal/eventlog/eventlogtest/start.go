package eventlogtest

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var startCases = []testCase{
	{
		"the start of an empty log can be raised, never lowered",
		"ids would go back behind one that a client has",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			l.Advance(start + 500)
			l.Advance(start + 200)
			l.Advance(start)
			if l.Start() != start+500 || l.Holds(l.Mark(), start+499) || !l.Holds(l.Mark(), start+500) {
				t.Errorf("Start %d, Holds before it: %t, Holds it: %t", l.Start(), l.Holds(l.Mark(), start+499), l.Holds(l.Mark(), start+500))
			}
			bounds(t, l, start+500, start+500)
			l.Append(func(dst []byte, id event.ID) []byte {
				if id.Position != start+501 {
					t.Errorf("the first record is at %d", id.Position)
				}
				return append(dst, "a"...)
			})
			if records, next, err := l.Read(start+500, 100); string(records) != "a" || next != start+501 || err != nil {
				t.Errorf("Read = %q, %d, %v", records, next, err)
			}
		},
	},
	{
		"one record is found by its position, as long as it is kept",
		"a late joiner would get another event in place of a key's newest",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: roomy.Age, Events: 50, Bytes: 1 << 20}})
			for i := range 200 {
				add(l, string(content(i, i*37%5000)))
			}
			for i := range 200 {
				got, ok := l.Record(start + 1 + event.Position(i))
				if kept := i >= 150; ok != kept || ok && string(got) != string(content(i, i*37%5000)) {
					t.Fatalf("Record of event %d: %d bytes, %t; want it to be kept: %t", i, len(got), ok, kept)
				}
				_ = append(got, "!!!"...) // who appends to it must not write into the next record
			}
			for _, pos := range []event.Position{0, start, start + 201} {
				if _, ok := l.Record(pos); ok {
					t.Errorf("Record(%d) is none, and was found", pos)
				}
			}
			l.Close()
			if _, ok := l.Record(start + 200); ok {
				t.Error("Record of a closed log was found")
			}
		},
	},
}
