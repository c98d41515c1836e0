package eventlogtest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var sharedBudgetCases = []testCase{
	{
		"shared logs give up their tails after sealed logs and what was sent",
		"many readers would be reset to save what nobody, or only one, needs",
		func(t *testing.T, open Open) {
			for range 10 { // logs that are alike come in any order
				sharedTailsGoLast(t, open)
			}
		},
	},
	{
		"a shared log keeps what was read as long as the budget is not used up",
		"one reader that keeps up would reset all that do not",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(4 << 20)
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
			for pos := start; b.Used() < 4<<20-100<<10; {
				addMany(l, 1, 1000)
				pos++
				l.Written(pos)
				bounds(t, l, start, pos)
			}
		},
	},
	{
		"the newest record of a shared log is never taken",
		"its readers could not be told what came last",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1)
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
			for range 100 {
				addMany(l, 1, 100_000)
				_, last := l.Bounds()
				bounds(t, l, last-1, last)
			}
			if b.Used() > 250_000 {
				t.Errorf("%d bytes are in use for one record of 100000", b.Used())
			}
		},
	},
	{
		"a sealed shared log that is read gives up its tail, too",
		"one reader that stands still would hold all of it for as long as it likes",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 20)
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
			l.Attach()
			addMany(l, 800, 1000)
			l.Seal()
			bounds(t, l, start, start+800)
			addMany(open.make(eventlog.Options{Budget: b}), 500, 1000)
			if first, last := l.Bounds(); first < start+500 || last-first < sentFloor/1000 {
				t.Errorf("(%d, %d] is kept", first, last)
			}
			_, _, err := l.Read(start, 100)
			if first, _ := l.Bounds(); !isTrimmed(err, first, uint64(first-start)) {
				t.Errorf("Read: %v", err)
			}
		},
	},
	{
		"the writer of a shared log waits when nothing is left to take, until there is room",
		"memory beyond the budget is what it is there to prevent",
		func(t *testing.T, open Open) {
			for name, release := range map[string]func(large, l Log){
				"closed":          func(large, _ Log) { large.Close() },
				"sealed":          func(large, _ Log) { large.Seal() },
				"written":         func(large, _ Log) { large.Written(start + 3000) },
				"its own written": func(_, l Log) { l.Written(start + 1000) },
			} {
				b := eventlog.NewBudget(2 << 20)
				large, l := open.make(eventlog.Options{Budget: b}), open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
				addMany(large, 3000, 1000)
				addMany(l, 1000, 1000)
				if !b.Full() {
					t.Fatal("the budget says that there is room")
				}
				if err := waits(t, l, func() { release(large, l) }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		},
	},
	{
		"the waiting writer of a shared log learns that its context or the log has ended",
		"the call could not be cancelled, and its goroutine would stay",
		func(t *testing.T, open Open) {
			for name, test := range map[string]struct {
				end  func(Log, context.CancelFunc)
				want error
			}{
				"context": {func(_ Log, cancel context.CancelFunc) { cancel() }, context.Canceled},
				"log":     {func(l Log, _ context.CancelFunc) { l.Close() }, eventlog.ErrClosed},
			} {
				b := eventlog.NewBudget(1)
				b.Hold(1)
				l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
				addMany(l, 1, 10)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waited := make(chan error, 1) // one slot, so that a failing test leaves no goroutine behind
				go func() { waited <- l.WaitRoom(ctx) }()
				synctest.Wait()
				if len(waited) > 0 {
					t.Fatalf("%s: WaitRoom does not wait: %v", name, <-waited)
				}
				test.end(l, cancel)
				if err := <-waited; !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", name, err, test.want)
				}
			}
		},
	},
	{
		"what is held beside the logs counts as much as what is in them",
		"the newest event of each key, kept for late joiners, would be memory that nothing bounds",
		heldBesideLogs,
	},
}

// isTrimmed reports whether err says exactly this.
func isTrimmed(err error, oldest event.Position, missed uint64) bool {
	trimmed, ok := errors.AsType[*eventlog.TrimmedError](err)
	return ok && *trimmed == eventlog.TrimmedError{Oldest: oldest, Missed: missed}
}

// sharedTailsGoLast fills a budget step by step and sees in which order it takes what.
func sharedTailsGoLast(t *testing.T, open Open) {
	b := eventlog.NewBudget(4 << 20)
	evicted := false
	var sealed Log
	sealed = open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b, Evicted: func() { evicted = true; sealed.Close() }})
	addMany(sealed, 500, 1000)
	sealed.Seal()
	sent := open.make(eventlog.Options{Budget: b})
	addMany(sent, 1000, 1000)
	sent.Written(start + 1000)
	shared := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
	addMany(shared, 1000, 1000)
	shared.Written(start + 1000) // what readers have had of it goes no sooner than the rest
	filler := open.make(eventlog.Options{Budget: b})
	took := 0 // how many of the three
	for range 4000 {
		addMany(filler, 1, 1000)
		ofSent, _ := sent.Bounds()
		ofShared, _ := shared.Bounds()
		now := 0
		for i, gone := range []bool{evicted, ofSent > start, ofShared > start} {
			if gone && now < i {
				t.Fatalf("what goes number %d went before what goes number %d", i+1, now+1)
			}
			if gone {
				now++
			}
		}
		took = now
	}
	if took != 3 {
		t.Errorf("of the three %d gave something up", took)
	}
	if first, last := shared.Bounds(); int(last-first)*1000 <= sentFloor-1000 || int(last-first)*1000 > sentFloor {
		t.Errorf("the shared log keeps (%d, %d]", first, last)
	}
	bounds(t, filler, start, start+4000)
	if !b.Full() {
		t.Error("the budget says that there is room")
	}
}

func heldBesideLogs(t *testing.T, open Open) {
	b := eventlog.NewBudget(2 << 20)
	l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
	addMany(l, 1500, 1000)
	before := b.Used()
	b.Hold(1 << 20)
	if b.Used() != before+1<<20 {
		t.Fatalf("%d bytes are counted, want %d more than %d", b.Used(), 1<<20, before)
	}
	bounds(t, l, start, start+1500) // nothing is taken on the spot: the caller may hold locks
	if err := waits(t, l, nil); err != nil {
		t.Fatal(err)
	}
	if first, last := l.Bounds(); first == start || last != start+1500 || b.Full() {
		t.Errorf("(%d, %d] is kept, full: %t", first, last, b.Full())
	}
	b.Hold(1 << 20)
	if !b.Full() {
		t.Error("the budget says that there is room")
	}
	if err := waits(t, l, func() { b.Hold(-1 << 20) }); err != nil {
		t.Error(err)
	}
	l.Close()
	b.Hold(-1 << 20)
	if b.Used() != 0 {
		t.Errorf("%d bytes are still counted", b.Used())
	}
	var none *eventlog.Budget
	none.Hold(1)
	none.Hold(-1)
}
