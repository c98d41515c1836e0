package eventlog_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// benchLog is a log like those that are served, with the default retention.
func benchLog(mode eventlog.Mode) *eventlog.Log {
	return newLog(eventlog.Options{
		Mode: mode, Limits: eventlog.Limits{Age: 10 * time.Minute, Events: 10_000, Bytes: 8 << 20}, Budget: eventlog.NewBudget(256 << 20),
	})
}

// BenchmarkAppend appends to a log whose reader keeps up, so that as much is trimmed as is added.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			l := benchLog(eventlog.Paced)
			defer l.Close()
			record := make([]byte, size)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			for pos := l.Start() + 1; b.Loop(); pos++ {
				l.Append(build)
				l.Written(pos)
			}
		})
	}
}

// BenchmarkShared appends to a shared log and reads it: readers keep up, or fall behind and are told.
func BenchmarkShared(b *testing.B) {
	for name, every := range map[string]int{"keeps up": 1, "in batches": 100, "too late": 20_000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Shared)
			defer l.Close()
			record := make([]byte, 300)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			pos := l.Start()
			for n := 1; b.Loop(); n++ {
				l.Append(build)
				if err := l.WaitRoom(b.Context()); err != nil {
					b.Fatal(err)
				}
				if n%every > 0 {
					continue
				}
				for {
					_, next, err := l.Read(pos, 64<<10)
					if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
						pos = trimmed.Oldest
						continue
					}
					if next == pos {
						break
					}
					pos = next
					l.Written(pos)
				}
			}
		})
	}
}

// BenchmarkWaitRoom asks for room while a reader is a little behind, as after every message.
func BenchmarkWaitRoom(b *testing.B) {
	for name, mode := range map[string]eventlog.Mode{"paced": eventlog.Paced, "shared": eventlog.Shared} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(mode)
			defer l.Close()
			add(l, 10, "x")
			for b.Loop() {
				if err := l.WaitRoom(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead reads a full log again and again, as much at once as delivery does, and an event at a time.
func BenchmarkRead(b *testing.B) {
	for _, limit := range []int{1, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Paced)
			defer l.Close()
			add(l, 10_000, string(make([]byte, 300)))
			pos, end := l.Start(), l.Start()+10_000
			bytes := 0
			for b.Loop() {
				records, next, err := l.Read(pos, limit)
				if err != nil {
					b.Fatal(err)
				}
				bytes += len(records)
				if pos = next; pos == end {
					pos = l.Start()
				}
			}
			b.ReportMetric(float64(bytes)/float64(b.N), "bytes/read")
		})
	}
}

// BenchmarkReadGenerations is BenchmarkRead of a log with as many generations as it can have.
func BenchmarkReadGenerations(b *testing.B) {
	b.ReportAllocs()
	l := benchLog(eventlog.Paced)
	defer l.Close()
	for i := range event.Position(64) {
		l.Advance(l.Start() + i<<20)
		add(l, 100, string(make([]byte, 300)))
	}
	pos := l.Start()
	_, end := l.Bounds()
	for b.Loop() {
		_, next, err := l.Read(pos, 4<<10)
		if err != nil {
			b.Fatal(err)
		}
		if pos = next; pos == end {
			pos = l.Start()
		}
	}
}

// BenchmarkWakeUp measures from an append until every waiting reader has read it.
func BenchmarkWakeUp(b *testing.B) {
	for _, readers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Paced)
			var work, round sync.WaitGroup
			for range readers {
				work.Go(func() {
					for pos := l.Start(); ; {
						changed := l.Changed(pos)
						_, next, err := l.Read(pos, 64<<10)
						switch {
						case err != nil:
							return // closed
						case next == pos:
							<-changed
						default:
							pos = next
							l.Written(pos)
							round.Done()
						}
					}
				})
			}
			record := make([]byte, 300)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			for b.Loop() {
				round.Add(readers)
				l.Append(build)
				round.Wait()
			}
			l.Close()
			work.Wait()
		})
	}
}
