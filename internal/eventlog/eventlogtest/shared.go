package eventlogtest

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var sharedCases = []testCase{
	{
		"a shared log keeps the newest, whoever has read them",
		"the slowest reader would decide how much memory a stream needs, and the fastest how much the others find",
		sharedKeepsNewest,
	},
	{
		"one record of a shared log is always kept",
		"an event larger than the limit could never be read",
		func(t *testing.T, open Open) {
			clock := newClock()
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Second}, Now: clock.read})
			addMany(l, 3, 1000)
			clock.now = clock.now.Add(time.Hour)
			l.Expire()
			bounds(t, l, start+2, start+3)
		},
	},
	{
		"the writer of a shared log waits for no reader",
		"one phone in a tunnel would stop the stream for all",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 20)
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 100}})
			l.Attach()
			for range 5000 {
				addMany(l, 1, 1000)
				if err := waits(t, l, nil); err != nil {
					t.Fatal(err)
				}
			}
		},
	},
	{
		"each reader of a shared log gets all that is kept when it comes, and is told exactly what was not",
		"a gap that is not announced is a loss that nobody notices",
		sharedReadersAreTold,
	},
	{
		"a sealed shared log is read to its end, by each at its own pace",
		"who is a little behind would never learn how the call ended",
		sharedSealed,
	},
	{
		"no reader of a shared log delays a faster one, even when the budget is used up",
		"whoever stops reading would stop everybody",
		sharedFastReader,
	},
}

func sharedKeepsNewest(t *testing.T, open Open) {
	for name, test := range map[string]struct {
		limits eventlog.Limits
		kept   event.Position
	}{
		"events": {eventlog.Limits{Age: time.Hour, Events: 7, Bytes: 1 << 20}, 7},
		"bytes":  {eventlog.Limits{Age: time.Hour, Events: 1000, Bytes: 105}, 10},
		"age":    {eventlog.Limits{Age: 4 * time.Second, Events: 1000, Bytes: 1 << 20}, 5},
	} {
		for reads, read := range map[string]func(l Log, last event.Position){
			"nobody":  func(Log, event.Position) {},
			"all":     func(l Log, last event.Position) { l.Written(last) },
			"some":    func(l Log, last event.Position) { l.Written(last - last%13) },
			"too old": func(l Log, last event.Position) { l.Written(last - 50) },
		} {
			t.Logf("limited in %s, read by %s", name, reads)
			clock := newClock()
			l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: test.limits, Now: clock.read})
			for last := start + 1; last <= start+100; last++ {
				clock.now = clock.now.Add(time.Second)
				addMany(l, 1, 10)
				bounds(t, l, max(start, last-test.kept), last)
				read(l, last)
				bounds(t, l, max(start, last-test.kept), last)
			}
		}
	}
}

func sharedReadersAreTold(t *testing.T, open Open) {
	const kept, events = 20, 2000
	for _, every := range []int{1, kept, kept + 1, 37, events} {
		l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Hour, Events: kept, Bytes: 1 << 20}})
		pos := start
		for last := start + 1; last <= start+events; last++ {
			addMany(l, 1, 10)
			if int(last-start)%every > 0 {
				continue
			}
			if every > kept {
				missed := last - kept - pos
				if _, next, err := l.Read(pos, 1<<20); next != pos || !isTrimmed(err, last-kept, uint64(missed)) {
					t.Fatalf("who reads every %d events is at %d, where Read = %d, %v; want %d missed", every, pos, next, err, missed)
				}
				if !l.Holds(l.Mark(), pos) {
					t.Fatal("a cursor that is too old is not known")
				}
				pos += missed
			}
			for pos < last {
				_, next, err := l.Read(pos, 1<<20)
				if err != nil || next == pos {
					t.Fatalf("who reads every %d events: Read(%d) = %d, %v", every, pos, next, err)
				}
				pos = next
				l.Written(pos)
			}
		}
	}
}

func sharedSealed(t *testing.T, open Open) {
	clock := newClock()
	l := open.make(eventlog.Options{
		Mode: eventlog.Shared, Limits: eventlog.Limits{Age: 10 * time.Second, Events: 100, Bytes: 1 << 20}, Now: clock.read,
	})
	for range 8 {
		add(l, "x")
		clock.now = clock.now.Add(time.Second)
	}
	l.Seal()
	for _, from := range []event.Position{start, start + 5, start + 7} {
		got := 0
		for pos := from; ; {
			_, next, err := l.Read(pos, 1)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got, pos = got+1, next
		}
		if got != int(start+8-from) {
			t.Errorf("from %d: read %d records to the end", from, got)
		}
	}
	clock.now = clock.now.Add(6 * time.Second)
	l.Expire()
	bounds(t, l, start+4, start+8)
	if _, _, err := l.Read(start+1, 100); !isTrimmed(err, start+4, 3) {
		t.Errorf("Read of what has grown too old: %v", err)
	}
	if _, next, err := l.Read(start+4, 100); err != nil || next != start+8 {
		t.Errorf("Read of the rest: %d, %v", next, err)
	}
}

// sharedFastReader has a writer, a reader that keeps up and one that never reads, while a call of somebody else holds
// all of the budget.
func sharedFastReader(t *testing.T, open Open) {
	const events = 3000
	b := eventlog.NewBudget(1 << 20)
	addMany(open.make(eventlog.Options{Budget: b}), 2000, 1000)
	l := open.make(eventlog.Options{Mode: eventlog.Shared, Budget: b})
	l.Attach()
	l.Attach()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range events {
			addMany(l, 1, 1000)
			if err := l.WaitRoom(ctx); err != nil {
				return
			}
		}
		l.Seal()
	}()
	seen := make(chan event.Position, 1) // one slot, so that a failing test leaves no goroutine behind
	news := Watch(l)
	go func() {
		for pos := start; ; {
			changed := news.Next()
			_, next, err := l.Read(pos, 64<<10)
			if err != nil {
				seen <- pos - start
				return
			}
			if next == pos {
				select {
				case <-changed:
					continue
				case <-ctx.Done():
					return
				}
			}
			pos = next
			l.Written(pos)
		}
	}()
	synctest.Wait()
	select {
	case n := <-seen:
		if n != events {
			t.Errorf("who keeps up read %d of %d events", n, events)
		}
	default:
		t.Error("who keeps up waits, and nobody writes")
	}
	first, last := l.Bounds()
	if kept := int(last-first) * 1000; kept > sentFloor || kept <= sentFloor-1000 {
		t.Errorf("%d bytes are kept while the budget is used up, want %d", kept, sentFloor)
	}
}
