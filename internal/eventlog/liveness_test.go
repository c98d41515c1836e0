package eventlog_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// A budget that is used up by many logs, each with a reader that keeps up, must not stop them: everything that they hold
// could go.
func TestManyLogsWhoseReadersKeepUpAreNotStopped(t *testing.T) {
	const logs, records, limit = 64, 2000, 4 << 20
	for name, mode := range map[string]eventlog.Mode{"paced": eventlog.Paced, "until done": eventlog.Newest, "shared": eventlog.Shared} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := eventlog.NewBudget(limit)
				var open []*eventlog.Log
				done := make(chan error, logs) // one slot each, so that a failing test leaves no goroutine behind
				for range logs {
					l := newLog(eventlog.Options{Budget: b, Mode: mode})
					open = append(open, l)
					go func() {
						for range records {
							add(l, 1, kilobyte)
							_, last := l.Bounds()
							l.Written(last)
							if err := l.WaitRoom(t.Context()); err != nil {
								done <- err
								return
							}
						}
						done <- nil
					}()
				}
				synctest.Wait()
				for range logs {
					select {
					case err := <-done:
						if err != nil {
							t.Fatal(err)
						}
					default:
						t.Fatalf("a writer waits although everything was sent; %d of %d bytes are in use", b.Used(), limit)
					}
				}
				if b.Used() > limit+limit/16 { // each may hold one record more than its share, in a segment of its own
					t.Errorf("%d bytes in use, the limit is %d", b.Used(), limit)
				}
				for _, l := range open {
					l.Close()
				}
			})
		})
	}
}

// A writer that waits for the budget goes on as soon as its own reader has caught up, even where nothing was freed.
func TestOwnReaderEndsTheWaitForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := eventlog.NewBudget(1)
		l := newLog(eventlog.Options{Budget: b})
		add(l, 1, "x")
		waited := make(chan error, 1) // one slot, so that a failing test leaves no goroutine behind
		go func() { waited <- l.WaitRoom(t.Context()) }()
		synctest.Wait()
		if len(waited) != 0 {
			t.Fatalf("did not wait: %v", <-waited)
		}
		l.Written(101)
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}

// What can be evicted is evicted when it comes to be, not when something is appended next: every writer may be waiting.
func TestWaitingWritersGetWhatIsSealedOrLeft(t *testing.T) {
	for name, release := range map[string]func(*eventlog.Log){
		"sealed": func(l *eventlog.Log) { l.Seal() },
		"left":   func(l *eventlog.Log) { l.Detach() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := eventlog.NewBudget(1 << 20)
				large := newLog(eventlog.Options{Budget: b})
				add(large, 1500, kilobyte)
				if name == "left" {
					large.Attach()
					large.Seal()
				}
				l := newLog(eventlog.Options{Budget: b})
				add(l, 1, "x")
				waited := make(chan error, 1) // one slot, so that a failing test leaves no goroutine behind
				go func() { waited <- l.WaitRoom(t.Context()) }()
				synctest.Wait()
				if len(waited) != 0 {
					t.Fatalf("did not wait: %v", <-waited)
				}
				release(large)
				if err := <-waited; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// However long a log has run, what it costs to keep little is little.
func TestALogThatKeepsLittleCostsLittle(t *testing.T) {
	b := eventlog.NewBudget(64 << 20)
	l := newLog(eventlog.Options{Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: 1, Bytes: 8 << 20}})
	var last event.Position
	for range 1000 {
		add(l, 1, kilobyte)
		_, last = l.Bounds()
		l.Written(last)
	}
	if b.Used() > 16<<10 {
		t.Errorf("%d bytes in use for one record of 1 KiB", b.Used())
	}
	l.Close()
}

// A budget that is used up to the byte is used up, whatever used it up: what can go goes before a writer waits.
func TestUsedUpToTheByte(t *testing.T) {
	for name, fill := range map[string]func(*eventlog.Budget, *eventlog.Log){
		"by an event":   func(_ *eventlog.Budget, l *eventlog.Log) { add(l, 100, kilobyte) },
		"by a new call": func(b *eventlog.Budget, l *eventlog.Log) { add(l, 100, kilobyte); newLog(eventlog.Options{Budget: b}) },
	} {
		t.Run(name, func(t *testing.T) {
			run := func(b *eventlog.Budget) *eventlog.Log {
				sealed := newLog(eventlog.Options{Budget: b})
				add(sealed, 100, kilobyte)
				sealed.Seal()
				l := newLog(eventlog.Options{Budget: b})
				fill(b, l)
				return l
			}
			all := eventlog.NewBudget(64 << 20)
			run(all)
			b := eventlog.NewBudget(all.Used())
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := run(b).WaitRoom(ctx); err != nil {
				t.Fatalf("%v, with %d of %d bytes in use", err, b.Used(), all.Used())
			}
		})
	}
}
