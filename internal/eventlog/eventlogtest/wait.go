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

var waitCases = []testCase{
	{
		"the writer waits at half of the bytes, until something is written",
		"the backend would fill the memory, or never go on",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 1 << 20, Bytes: 100}})
			addMany(l, 4, 10)
			if err := waits(t, l, nil); err != nil {
				t.Fatalf("below half: %v", err)
			}
			addMany(l, 1, 10)
			if err := waits(t, l, func() { l.Written(start + 1) }); err != nil {
				t.Fatal(err)
			}
		},
	},
	{
		"one record larger than the limit goes through",
		"a log that never takes it stops for ever",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 10}})
			for range 3 {
				addMany(l, 1, 1000)
				_, last := l.Bounds()
				if err := waits(t, l, func() { l.Written(last) }); err != nil {
					t.Fatal(err)
				}
			}
		},
	},
	{
		"a log that keeps the newest never waits",
		"its call would stop when its readers leave",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{Mode: eventlog.Newest, Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 100}})
			addMany(l, 50, 10)
			if err := waits(t, l, nil); err != nil {
				t.Fatal(err)
			}
		},
	},
	{
		"a waiting writer learns that its context or the log has ended",
		"the call could not be cancelled, and its goroutine would stay",
		func(t *testing.T, open Open) {
			ends := map[string]struct {
				end  func(Log, context.CancelFunc)
				want error
			}{
				"context": {func(_ Log, cancel context.CancelFunc) { cancel() }, context.Canceled},
				"log":     {func(l Log, _ context.CancelFunc) { l.Close() }, eventlog.ErrClosed},
			}
			for name, test := range ends {
				l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 10}})
				addMany(l, 1, 10)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waited := make(chan error, 1) // one slot, so that a failing test leaves no goroutine behind
				go func() { waited <- l.WaitRoom(ctx) }()
				synctest.Wait()
				test.end(l, cancel)
				if err := <-waited; !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", name, err, test.want)
				}
			}
		},
	},
	{
		"readers are woken by whatever changes what they would read",
		"an event would lie there until the next one, and an end for ever",
		func(t *testing.T, open Open) {
			changes := map[string]func(Log){
				"append": func(l Log) { add(l, "x") }, "seal": Log.Seal, "close": Log.Close, "wake": Log.Wake,
			}
			for name, change := range changes {
				l := open.make(eventlog.Options{})
				add(l, "x")
				// Whoever watched first is told as well as another one later, and who has stopped watching is not.
				one, two, gone := Watch(l), Watch(l), Watch(l)
				first, second, third := one.Next(), two.Next(), gone.Next()
				l.Unwatch(gone)
				if isClosed(first) {
					t.Errorf("%s: told before", name)
				}
				change(l)
				if !isClosed(first) || !isClosed(second) || isClosed(third) {
					t.Errorf("%s: told are %t, %t; who has stopped watching: %t", name, isClosed(first), isClosed(second), isClosed(third))
				}
			}
		},
	},
}

// waits checks that WaitRoom waits until release is called, or does not wait where release is nil. It returns what it
// answered.
func waits(t *testing.T, l Log, release func()) error {
	t.Helper()
	if release == nil {
		p := newProbe()
		err := l.WaitRoom(p)
		if p.asked {
			t.Fatal("WaitRoom would wait")
		}
		return err
	}
	waited := make(chan error, 1) // one slot, so that a failing test leaves no goroutine behind
	go func() { waited <- l.WaitRoom(t.Context()) }()
	synctest.Wait()
	if len(waited) > 0 {
		t.Fatalf("WaitRoom does not wait: %v", <-waited)
	}
	release()
	return <-waited
}

// probe is a context that ends when somebody waits for it: it tells whether WaitRoom would wait, without waiting.
type probe struct {
	context.Context
	asked bool
}

func newProbe() *probe { return &probe{Context: context.Background()} }

// Done is called only by who is about to wait.
func (p *probe) Done() <-chan struct{} {
	p.asked = true
	done := make(chan struct{})
	close(done)
	return done
}

// Err is nil until Done was called.
func (p *probe) Err() error {
	if p.asked {
		return context.Canceled
	}
	return nil
}

var endCases = []testCase{
	{
		"a sealed log is read to its end, and takes nothing more",
		"an end that comes before the last event loses it; one that is not final repeats",
		func(t *testing.T, open Open) {
			clock := newClock()
			l := open.make(eventlog.Options{Now: clock.read})
			if sealed := l.Expire(); !sealed.IsZero() {
				t.Errorf("sealed at %v before it was", sealed)
			}
			add(l, "a")
			l.Seal()
			at := clock.now
			clock.now = at.Add(time.Minute)
			l.Seal()
			add(l, "b")
			bounds(t, l, start, start+1)
			if records, next, err := l.Read(start, 100); string(records) != "a" || next != start+1 || err != nil {
				t.Errorf("Read = %q, %d, %v", records, next, err)
			}
			if records, next, err := l.Read(start+1, 100); len(records) != 0 || next != start+1 || !errors.Is(err, io.EOF) {
				t.Errorf("Read at the end = %q, %d, %v", records, next, err)
			}
			if sealed := l.Expire(); !sealed.Equal(at) {
				t.Errorf("sealed at %v, want the first time, %v", sealed, at)
			}
		},
	},
	{
		"nobody can begin behind the end",
		"a reader that was moved there, or came back to it, would be told of the end never, and come back for ever",
		func(t *testing.T, open Open) {
			for _, events := range []int{1, 2, 1000} {
				l := open.make(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Hour, Events: events, Bytes: 1 << 20}})
				addMany(l, 5, 1)
				changed := Watch(l).Next()
				var end event.ID
				l.SealWith(func(dst []byte, id event.ID) []byte {
					end = id
					return append(dst, "end"...)
				})
				l.SealWith(func([]byte, event.ID) []byte { panic("there is one end") })
				if !isClosed(changed) || end.Position != start+6 || end.Mark != l.Mark() {
					t.Errorf("the end has the id %v; readers were woken: %t", end, isClosed(changed))
				}
				if _, last := l.Bounds(); last != start+5 || l.Holds(l.Mark(), start+6) || !l.Holds(l.Mark(), start+5) {
					t.Errorf("the newest record is at %d; Holds the end: %t, what is before it: %t", last, l.Holds(l.Mark(), start+6), l.Holds(l.Mark(), start+5))
				}
				if records, next, err := l.Read(start+5, 100); string(records) != "end" || next != start+6 || err != nil {
					t.Errorf("Read = %q, %d, %v", records, next, err)
				}
				if _, _, err := l.Read(start+6, 100); !errors.Is(err, io.EOF) {
					t.Errorf("Read behind the end: %v", err)
				}
			}
			l := open.make(eventlog.Options{})
			l.SealWith(func(dst []byte, _ event.ID) []byte { return append(dst, "end"...) })
			bounds(t, l, start, start)
			l = open.make(eventlog.Options{})
			l.Close()
			l.SealWith(func([]byte, event.ID) []byte { panic("a closed log takes nothing") })
		},
	},
	{
		"a closed log answers nothing but that",
		"readers that are still attached must come back and be told, and nothing may grow again",
		func(t *testing.T, open Open) {
			b := eventlog.NewBudget(1 << 30)
			l := open.make(eventlog.Options{Budget: b})
			add(l, "a")
			l.Close()
			l.Close()
			add(l, "b")
			l.Written(start + 1)
			l.Seal()
			l.Expire()
			l.Wake()
			if _, _, err := l.Read(start, 100); !errors.Is(err, eventlog.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
			if err := l.WaitRoom(t.Context()); !errors.Is(err, eventlog.ErrClosed) {
				t.Errorf("WaitRoom: %v", err)
			}
			if l.Holds(l.Mark(), start) {
				t.Error("a cursor of it is held")
			}
			if b.Used() != 0 {
				t.Errorf("%d bytes are still counted", b.Used())
			}
		},
	},
}
