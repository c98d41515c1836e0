package eventlogtest

import (
	"slices"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var budgetCases = []testCase{
	{
		"what is freed is counted, to the byte",
		"a budget that leaks a little is used up in the end, and everything stops",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 30)
			var logs []Log
			for i := range 20 {
				l := open.make(eventlog.Options{Budget: b, Mode: eventlog.Mode(i % 3), Limits: eventlog.Limits{Age: time.Hour, Events: 30, Bytes: 200_000}})
				for _, size := range []int{0, 1, 5000, 100_000, 3, 70_000} {
					addMany(l, 20, size)
					_, last := l.Bounds()
					l.Written(last - 10)
				}
				logs = append(logs, l)
			}
			if b.Used() == 0 {
				t.Fatal("nothing is counted")
			}
			for _, l := range logs {
				l.Close()
			}
			if b.Used() != 0 {
				t.Errorf("%d bytes are still counted", b.Used())
			}
		},
	},
	{
		"what is counted is at least what is held",
		"memory beyond the budget is what it is there to prevent",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 30)
			l := open.make(eventlog.Options{Budget: b})
			for i, size := range []int{10, 1000, 300_000} {
				addMany(l, 100, size)
				if held := []int64{1000, 101_000, 30_101_000}[i]; b.Used() < held || b.Used() > 2*held+(200<<10) {
					t.Errorf("%d bytes are counted for %d", b.Used(), held)
				}
			}
		},
	},
	{"sealed logs go first, oldest first, but none that is read", "who reads the end would lose it, and who may come back soonest should find it", budgetTakesSealed},
	{
		"the unsent is never taken, and neither is a little of the sent part",
		"it would be lost; and every short cut would lead to a reset",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(2 << 20)
			l, other := open.make(eventlog.Options{Budget: b}), open.make(eventlog.Options{Budget: b})
			addMany(l, 2000, 1000)
			l.Written(start + 1000)
			addMany(other, 2000, 1000)
			if first, last := l.Bounds(); first < start+1 || first > start+1000-256 || last != start+2000 {
				t.Errorf("(%d, %d] is held, %d was written", first, last, start+1000)
			}
			bounds(t, other, start, start+2000)
			if !b.Full() {
				t.Error("the budget says that there is room")
			}
		},
	},
	{
		"a budget that could once make no room tries again",
		"what is sealed while there is room would be kept when there is none, and new calls refused",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 20)
			l := open.make(eventlog.Options{Budget: b})
			addMany(l, 2000, 1000)
			l.Written(start + 2000)
			evicted := false
			sealed := open.make(eventlog.Options{Budget: b, Evicted: func() { evicted = true }})
			addMany(sealed, 500, 1000)
			sealed.Seal()
			if b.Full() || evicted {
				t.Fatalf("full: %t, evicted: %t; %d bytes are in use", b.Full(), evicted, b.Used())
			}
			addMany(l, 500, 1000)
			if !evicted || b.Full() {
				t.Errorf("full: %t, evicted: %t; %d bytes are in use", b.Full(), evicted, b.Used())
			}
		},
	},
	{
		"whoever waits for the budget goes on when memory is freed",
		"all calls would stand still until something new happens to be appended",
		func(t *testing.T, open Open) {
			for name, release := range map[string]func(large, l Log){
				"closed":          func(large, _ Log) { large.Close() },
				"sealed":          func(large, _ Log) { large.Seal() },
				"written":         func(large, _ Log) { large.Written(start + 2000) },
				"its own written": func(_, l Log) { l.Written(start + 1) },
			} {
				b := eventlog.NewBudget(2 << 20)
				large, l := open.make(eventlog.Options{Budget: b}), open.make(eventlog.Options{Budget: b})
				addMany(large, 3000, 1000)
				addMany(l, 1, 1)
				if err := waits(t, l, func() { release(large, l) }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		},
	},
}

func budgetTakesSealed(t *testing.T, open Open) {
	clock := newClock()
	b := eventlog.NewBudget(1 << 20)
	var evicted []string
	sealed := func(name string) Log {
		var l Log
		l = open.make(eventlog.Options{Budget: b, Now: clock.read, Evicted: func() {
			evicted = append(evicted, name)
			l.Close() // whoever is told may use the log, or another
		}})
		addMany(l, 180, 1000)
		l.Seal()
		clock.now = clock.now.Add(time.Second)
		return l
	}
	sealed("first")
	read := sealed("read")
	read.Attach()
	read.Attach()
	read.Detach()
	sealed("second")
	sealed("third")
	l := open.make(eventlog.Options{Budget: b})
	for _, want := range [][]string{{"first"}, {"first", "second"}, {"first", "second", "third"}} {
		for !slices.Equal(evicted, want) && len(evicted) <= len(want) && b.Used() < 2<<20 {
			addMany(l, 1, 1000)
		}
		if !slices.Equal(evicted, want) {
			t.Fatalf("evicted %v, want %v", evicted, want)
		}
	}
	addMany(l, 2000, 1000)
	bounds(t, read, start, start+180)
	read.Detach()
	if want := []string{"first", "second", "third", "read"}; !slices.Equal(evicted, want) {
		t.Errorf("after the last reader left: evicted %v, want %v", evicted, want)
	}
	if first, _ := l.Bounds(); first != start {
		t.Errorf("unsent records were taken: the log begins at %d", first)
	}
}
