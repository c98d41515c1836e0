package eventlog_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// ledger is a budget and all logs that it was ever given to.
type ledger struct {
	budget *eventlog.Budget
	logs   []*eventlog.Log
	beside int64 // what Hold counted
}

func (w *ledger) open(o eventlog.Options) *eventlog.Log {
	o.Budget = w.budget
	l := newLog(o)
	w.logs = append(w.logs, l)
	return l
}

// balanced reports whether as much is counted as is held.
func (w *ledger) balanced(t rapid.TB, after string) {
	t.Helper()
	held := w.beside
	for _, l := range w.logs {
		held += l.Held()
	}
	if used := w.budget.Used(); used != held {
		t.Fatalf("after %s: %d bytes are counted, %d are held", after, used, held)
	}
}

func TestBudgetCountsWhatIsHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		w := &ledger{budget: eventlog.NewBudget(rapid.SampledFrom([]int64{1, 300_000, 2 << 20, 1 << 40}).Draw(t, "limit"))}
		open := func(t *rapid.T) {
			w.open(eventlog.Options{
				Mode: rapid.SampledFrom([]eventlog.Mode{eventlog.Paced, eventlog.Newest, eventlog.Shared}).Draw(t, "mode"),
				Limits: eventlog.Limits{
					Age:    rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Hour}).Draw(t, "age"),
					Events: rapid.SampledFrom([]int{0, 10, 10_000}).Draw(t, "events"),
					Bytes:  rapid.SampledFrom([]int{0, 1000, 100_000, 8 << 20}).Draw(t, "bytes"),
				},
				Beside:       rapid.IntRange(0, 1000).Draw(t, "beside"),
				BesideRecord: rapid.IntRange(0, 100).Draw(t, "beside each record"),
				Now:          func() time.Time { return now },
			})
		}
		open(t)
		on := func(name string, do func(*rapid.T, *eventlog.Log)) func(*rapid.T) {
			return func(t *rapid.T) {
				do(t, rapid.SampledFrom(w.logs).Draw(t, "log"))
				w.balanced(t, name)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"open": open,
			"append": on("append", func(t *rapid.T, l *eventlog.Log) {
				size := rapid.SampledFrom([]int{0, 1, 30, 300, 5000, 100_000}).Draw(t, "size")
				add(l, rapid.IntRange(1, 300).Draw(t, "times"), noise[:size])
			}),
			"written": on("written", func(t *rapid.T, l *eventlog.Log) {
				first, last := l.Bounds()
				l.Written(event.Position(rapid.Uint64Range(uint64(first), uint64(last)).Draw(t, "position")))
			}),
			"later":  func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second) },
			"expire": on("expire", func(_ *rapid.T, l *eventlog.Log) { l.Expire() }),
			"attach": on("attach", func(_ *rapid.T, l *eventlog.Log) { l.Attach() }),
			"seal":   on("seal", func(_ *rapid.T, l *eventlog.Log) { l.Seal() }),
			"seal with": on("seal with", func(_ *rapid.T, l *eventlog.Log) {
				l.SealWith(func(dst []byte, _ event.ID) []byte { return append(dst, noise[:5000]...) })
			}),
			"close": on("close", func(_ *rapid.T, l *eventlog.Log) { l.Close() }),
			"hold": func(t *rapid.T) {
				n := rapid.IntRange(-int(w.beside), 100_000).Draw(t, "bytes")
				w.budget.Hold(n)
				w.beside += int64(n)
			},
			"full": func(t *rapid.T) { w.budget.Full(); w.balanced(t, "full") },
		})
		for _, l := range w.logs {
			l.Close()
		}
		if got := w.budget.Used() - w.beside; got != 0 {
			t.Fatalf("%d bytes are counted for no log", got)
		}
	})
}

var noise = string(make([]byte, 100_000))

// TestBudgetCountsWhatIsHeldAmongMany does the same in many goroutines, and looks when they have ended.
func TestBudgetCountsWhatIsHeldAmongMany(t *testing.T) {
	w := &ledger{budget: eventlog.NewBudget(2 << 20)}
	for i := range 12 {
		w.open(eventlog.Options{
			Mode: eventlog.Mode(i % 3), BesideRecord: i, Limits: eventlog.Limits{Age: time.Hour, Events: 500, Bytes: 200_000},
		})
	}
	var work sync.WaitGroup
	for i, l := range w.logs {
		work.Go(func() {
			for n := range 3000 {
				add(l, 1, noise[:n%700])
			}
			if i%4 > 0 {
				l.Seal()
			}
		})
		work.Go(func() {
			l.Attach()
			for range 3000 {
				_, last := l.Bounds()
				l.Written(last)
				l.Expire()
			}
			l.Detach()
		})
	}
	work.Wait()
	w.balanced(t, "all")
	for _, l := range w.logs {
		l.Close()
	}
	w.balanced(t, "Close")
	if w.budget.Used() != 0 {
		t.Errorf("%d bytes are counted for no log", w.budget.Used())
	}
}

// TestBudgetCountsTheHeap compares what is counted with what the heap grew by.
func TestBudgetCountsTheHeap(t *testing.T) {
	for _, size := range []int{0, 20, 200, 3000, 40_000, 99_999} {
		b := eventlog.NewBudget(1 << 40)
		l := newLog(eventlog.Options{Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: 1 << 30, Bytes: 1 << 40}})
		empty, before := b.Used(), heap()
		add(l, 20<<20/(size+10), noise[:size])
		grown, counted := heap()-before, b.Used()-empty
		if diff := grown - counted; diff < -counted/50 || diff > counted/50 {
			t.Errorf("records of %d bytes: %d bytes are counted, the heap grew by %d", size, counted, grown)
		}
		l.Close()
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
