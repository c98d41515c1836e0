package eventlogtest

import (
	"errors"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var trimCases = []testCase{
	{
		"what no reader was written is kept, whatever the limits say",
		"it would be lost without anybody having been told that it existed",
		func(t *testing.T, open Open) {
			clock := newClock()
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Second, Events: 1, Bytes: 1}, Now: clock.read})
			addMany(l, 100, 10)
			clock.now = clock.now.Add(time.Hour)
			l.Expire()
			bounds(t, l, start, start+100)
			l.Written(start + 40)
			bounds(t, l, start+40, start+100)
		},
	},
	{
		"the sent part is bounded in events, counted back from the furthest position written",
		"counted from the log's end, a reader that was just cut would find that its position is gone",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 7, Bytes: 1 << 20}})
			addMany(l, 100, 10)
			l.Written(start + 50)
			bounds(t, l, start+43, start+100)
		},
	},
	{
		"the sent part is bounded in bytes",
		"events differ in size: a number of them bounds no memory",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 1000, Bytes: 105}})
			addMany(l, 100, 10)
			l.Written(start + 50)
			bounds(t, l, start+40, start+100)
		},
	},
	{
		"the sent part is bounded in age, also while nothing is appended",
		"a quiet stream would keep old events for ever",
		func(t *testing.T, open Open) {
			clock := newClock()
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: 10 * time.Second, Events: 1000, Bytes: 1 << 20}, Now: clock.read})
			for range 20 {
				add(l, "x")
				clock.now = clock.now.Add(time.Second)
			}
			l.Written(start + 20)
			bounds(t, l, start+10, start+20)
			clock.now = clock.now.Add(5 * time.Second)
			l.Expire()
			bounds(t, l, start+15, start+20)
		},
	},
	{
		"one record is always kept",
		"a log that is empty cannot say what came last, and an event larger than the limit could never be read",
		func(t *testing.T, open Open) {
			clock := newClock()
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Second, Events: 0, Bytes: 0}, Now: clock.read})
			addMany(l, 3, 1000)
			l.Written(start + 3)
			clock.now = clock.now.Add(time.Hour)
			l.Expire()
			bounds(t, l, start+2, start+3)
			if records, _, err := l.Read(start+2, 1); len(records) != 1000 || err != nil {
				t.Errorf("Read = %d bytes, %v", len(records), err)
			}
		},
	},
	{
		"of several readers the furthest sets the pace",
		"the slowest would stop the backend for all; and a position that goes back or ahead must do nothing",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 5, Bytes: 1 << 20}})
			addMany(l, 100, 10)
			l.Written(start + 50)
			l.Written(start + 10)
			l.Written(start + 101)
			bounds(t, l, start+45, start+100)
		},
	},
	{
		"who comes too late is told exactly what is missing",
		"a gap that is not announced is a loss that nobody notices",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 5, Bytes: 1 << 20}})
			addMany(l, 100, 10)
			l.Written(start + 50)
			for pos := start; pos < start+45; pos++ {
				_, next, err := l.Read(pos, 100)
				trimmed, ok := errors.AsType[*eventlog.TrimmedError](err)
				if !ok || trimmed.Oldest != start+45 || trimmed.Missed != uint64(start+45-pos) || next != pos {
					t.Fatalf("Read(%d) = %d, %+v", pos, next, err)
				}
				if !l.Holds(l.Mark(), pos) {
					t.Fatalf("Holds(%d) is false: the cursor is known, although what follows it is gone", pos)
				}
			}
			if _, next, err := l.Read(start+45, 10); err != nil || next != start+46 {
				t.Errorf("reading on from Oldest: %d, %v", next, err)
			}
		},
	},
	{
		"a log that keeps the newest drops what nobody read",
		"that is what it is for: its call goes on although nobody reads",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Mode: eventlog.Newest, Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 1 << 20}})
			for i := range 100 {
				addMany(l, 1, 10)
				bounds(t, l, start+event.Position(max(0, i-9)), start+event.Position(i+1))
			}
			_, _, err := l.Read(start, 100)
			if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); !ok || trimmed.Missed != 90 {
				t.Errorf("Read: %v", err)
			}
			l.Written(start + 95) // what was dropped and what was not, in one
			bounds(t, l, start+90, start+100)
		},
	},
}
