package delivery_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// logReader is a reader of a log as a feed.Subscription is one, with nothing beside.
type logReader struct {
	source
	log     *eventlog.Log
	pos     event.Position
	pending event.Position
	looks   *int   // how often the readers looked
	onLook  func() // may be nil
}

func (r *logReader) Topic() delivery.Topic  { return r.log }
func (r *logReader) Waiting() ([]byte, int) { return nil, 0 }

func (r *logReader) Next(limit int) ([]byte, error) {
	*r.looks++
	if r.onLook != nil {
		r.onLook()
	}
	records, next, err := r.log.Read(r.pos, limit)
	if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
		r.pos = trimmed.Oldest
		records, next, err = r.log.Read(r.pos, limit)
	}
	r.pending = next
	return records, err
}

func (r *logReader) Written() {
	if r.pending != r.pos {
		r.pos = r.pending
		r.log.Written(r.pos)
	}
}

func newLog() *eventlog.Log {
	return eventlog.New(eventlog.Options{
		Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Hour, Events: 10_000, Bytes: 8 << 20}, Mark: event.NewMark(),
	})
}

// crowd is readers of one log on a bare shard.
type crowd struct {
	*delivery.Bare
	log   *eventlog.Log
	looks int
}

func (c *crowd) join(n int) (readers []*logReader) {
	for range n {
		r := &logReader{log: c.log, looks: &c.looks}
		_, r.pos = c.log.Bounds()
		r.pending = r.pos
		c.Join(r, delivery.Nobody)
		readers = append(readers, r)
	}
	return readers
}

var record = make([]byte, 200)

func build(dst []byte, _ event.ID) []byte { return append(dst, record...) }

// BenchmarkSweep delivers an event to all readers of a log, whose clients take it for nothing.
func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprintf("readers=%d", n), func(b *testing.B) {
			c := &crowd{Bare: delivery.NewBare(), log: newLog()}
			c.join(n)
			b.ReportAllocs()
			for b.Loop() {
				c.log.Append(build)
				if visited := c.Work(); visited != n {
					b.Fatalf("%d readers were looked at, want %d", visited, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
			if c.Written != b.N*n*len(record) {
				b.Errorf("%d bytes were written", c.Written)
			}
		})
	}
}

// BenchmarkWake is one append to a log with one reader, whose shard sleeps, until the client has it.
func BenchmarkWake(b *testing.B) {
	log, looks := newLog(), 0
	c := newWorld(b, options).connect(&logReader{log: log, pos: log.Start(), looks: &looks}, get).opened()
	got := make([]byte, len(record))
	b.ReportAllocs()
	for b.Loop() {
		log.Append(build)
		if _, err := c.reader.Read(got); err != nil {
			b.Fatal(err)
		}
	}
	log.Seal()
}

func TestSweepAllocatesNothing(t *testing.T) {
	c := &crowd{Bare: delivery.NewBare(), log: newLog()}
	c.join(1000)
	for range 100_000 { // as much as is kept
		c.log.Append(build)
	}
	c.Work()
	allocs := testing.AllocsPerRun(100, func() {
		for range 3 { // more than one event at once
			c.log.Append(build)
		}
		c.Work()
	})
	if allocs > 1 { // the log's own: a segment now and then
		t.Errorf("%v allocations for 1,000 readers", allocs)
	}
}

// TestNewsDuringAVisit: what is appended while the readers are looked at reaches those who have been looked at already.
func TestNewsDuringAVisit(t *testing.T) {
	for size := 1; size < 5; size++ {
		for appender := range size {
			c := &crowd{Bare: delivery.NewBare(), log: newLog()}
			readers := c.join(size)
			more := 3
			readers[appender].onLook = func() {
				if more > 0 {
					more--
					c.log.Append(build)
				}
			}
			c.log.Append(build)
			c.Work()
			_, last := c.log.Bounds()
			for i, r := range readers {
				if r.pos != last {
					t.Errorf("%d readers, and the %d. appends: the %d. is at %d, want %d", size, appender+1, i+1, r.pos, last)
				}
			}
		}
	}
}

// TestFairness: the one reader of a quiet stream is behind one turn of the readers of busy ones, however many they are.
func TestFairness(t *testing.T) {
	for _, groups := range []int{1, 5} {
		shard, quiet := delivery.NewBare(), newLog()
		visits, asked, behind := 0, -1, -1
		var last *logReader
		for range groups {
			c := &crowd{Bare: shard, log: newLog()}
			for _, r := range c.join(10_000 / groups) {
				r.onLook = func() {
					if last == r {
						return
					}
					last = r
					if visits++; visits < 100_000 {
						c.log.Append(build) // never quiet
					}
					if visits == 30_000 {
						quiet.Append(build)
						asked = visits
					}
				}
			}
			c.log.Append(build)
		}
		looks := 0
		r := &logReader{log: quiet, pos: quiet.Start(), looks: &looks}
		shard.Join(r, delivery.Nobody)
		r.onLook = func() {
			if asked >= 0 && behind < 0 {
				behind = visits - asked
			}
		}
		shard.Work()
		if most := delivery.MostVisits(groups); behind < 0 || behind > most {
			t.Errorf("%d groups: the quiet reader was behind %d visits of others, want %d at most", groups, behind, most)
		}
	}
}
