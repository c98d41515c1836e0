package ingest_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// awake is a watcher like delivery's while it is at work: it has been told already, and looks by itself.
type awake struct{ dirty atomic.Bool }

func (a *awake) Changed() {
	if !a.dirty.Load() && a.dirty.CompareAndSwap(false, true) {
		panic("asleep")
	}
}

// BenchmarkWake is what an append costs by who watches the log. The difference is what could be saved by telling
// watchers once for several messages.
func BenchmarkWake(b *testing.B) {
	for _, watchers := range []int{0, 1, 2} {
		b.Run(fmt.Sprintf("awake=%d", watchers), func(b *testing.B) {
			l := eventlog.New(eventlog.Options{
				Mode: eventlog.Shared, Limits: eventlog.Limits{Age: 10 * time.Minute, Events: 10_000, Bytes: 8 << 20},
				Budget: eventlog.NewBudget(256 << 20),
			})
			defer l.Close()
			for range watchers {
				a := &awake{}
				a.dirty.Store(true)
				l.Watch(a)
			}
			build := func(dst []byte, _ event.ID) []byte { return append(dst, message...) }
			b.ReportAllocs()
			for b.Loop() {
				l.Append(build)
			}
		})
	}
}
