package eventlog_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/eventlog/eventlogtest"
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

// BenchmarkAppendWithReaders appends to a shared log that nobody, one or many read, for all of whom one watcher stands. The
// frame is built by copying, which is counted. The budget is 130 ns, whatever the number of readers.
func BenchmarkAppendWithReaders(b *testing.B) {
	for _, readers := range []int{0, 1, 10_000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Shared)
			defer l.Close()
			for range readers {
				l.Attach()
			}
			if readers > 0 {
				l.Watch(new(counter))
			}
			record := make([]byte, 200)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			for b.Loop() {
				l.Append(build)
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

// BenchmarkReadEnd asks for more at the end of a log, where a reader that keeps up finds nothing, or one record.
func BenchmarkReadEnd(b *testing.B) {
	for _, behind := range []event.Position{0, 1} {
		b.Run(fmt.Sprintf("behind=%d", behind), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Shared)
			defer l.Close()
			add(l, 10_000, string(make([]byte, 300)))
			_, end := l.Bounds()
			for b.Loop() {
				if _, next, err := l.Read(end-behind, 64<<10); err != nil || next != end {
					b.Fatal(next, err)
				}
			}
		})
	}
}

// BenchmarkContended reads the end of a log, and reads again, while a writer appends as fast as it can and others read.
func BenchmarkContended(b *testing.B) {
	for _, readers := range []int{1, 4} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Shared)
			add(l, 100, string(make([]byte, 200)))
			var work sync.WaitGroup
			stop := make(chan struct{})
			for range readers - 1 {
				work.Go(func() {
					for running(stop) {
						_, end := l.Bounds()
						_, _, _ = l.Read(end-1, 64<<10)
					}
				})
			}
			record := make([]byte, 200)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			appended := 0
			work.Go(func() {
				for ; running(stop); appended++ {
					l.Append(build)
				}
			})
			for b.Loop() {
				_, end := l.Bounds()
				_, _, _ = l.Read(end-1, 64<<10)
			}
			close(stop)
			work.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(appended), "ns/append")
			l.Close()
		})
	}
}

func running(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
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

// BenchmarkWatch measures from an append until a watcher has woken a goroutine and that has read for each of its readers.
func BenchmarkWatch(b *testing.B) {
	for _, readers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Shared)
			wake, swept := make(signal, 1), make(chan struct{})
			l.Watch(wake)
			var work sync.WaitGroup
			work.Go(func() {
				positions := make([]event.Position, readers)
				for i := range positions {
					positions[i] = l.Start()
				}
				for range wake {
					for i, pos := range positions {
						_, positions[i], _ = l.Read(pos, 64<<10)
					}
					swept <- struct{}{}
				}
			})
			record := make([]byte, 200)
			build := func(dst []byte, _ event.ID) []byte { return append(dst, record...) }
			for b.Loop() {
				l.Append(build)
				<-swept
			}
			l.Unwatch(wake)
			close(wake)
			work.Wait()
			l.Close()
		})
	}
}

// signal is a watcher that wakes a goroutine.
type signal chan struct{}

func (s signal) Changed() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// BenchmarkWakeUp measures from an append until every reader has read it, each of which waits by itself.
func BenchmarkWakeUp(b *testing.B) {
	for _, readers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			b.ReportAllocs()
			l := benchLog(eventlog.Paced)
			news := eventlogtest.Watch(l)
			var work, round sync.WaitGroup
			for range readers {
				work.Go(func() {
					for pos := l.Start(); ; {
						changed := news.Next()
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
