package eventlog_test

import (
	"sync/atomic"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// counter is a watcher.
type counter struct{ changes atomic.Int64 }

func (c *counter) Changed() { c.changes.Add(1) }

func (c *counter) expect(t *testing.T, after string, want int64) {
	t.Helper()
	if got := c.changes.Swap(0); got != want {
		t.Errorf("after %s: told %d times, want %d", after, got, want)
	}
}

func TestWatch(t *testing.T) {
	l := eventlog.New(eventlog.Options{Limits: eventlog.Limits{Age: 1 << 40, Events: 10, Bytes: 1 << 20}, Mark: event.NewMark()})
	record := func(dst []byte, _ event.ID) []byte { return append(dst, "x\n\n"...) }
	var a, b counter
	l.Watch(&a)
	l.Append(record)
	a.expect(t, "Append", 1)
	l.Watch(&b)
	l.Wake()
	a.expect(t, "Wake", 1)
	b.expect(t, "Wake", 1)
	l.Unwatch(&a)
	l.Seal()
	a.expect(t, "Unwatch", 0)
	b.expect(t, "Seal", 1)
	l.Append(record)
	b.expect(t, "an Append that does nothing", 0)
	l.Close()
	b.expect(t, "Close", 1)
	l.Unwatch(&a) // nothing to take back
	l.Unwatch(&b)
	l.Close()
	b.expect(t, "a second Close", 0)
}
