// Package eventlogtest is the contract of an event log, as tests. Whatever keeps a run's events must pass [Run].
//
//	func TestContract(t *testing.T) {
//		eventlogtest.Run(t, func(o eventlog.Options) eventlogtest.Log { return eventlog.New(o) })
//	}
package eventlogtest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// Log is what is tested. An *eventlog.Log is one, and its methods' comments say what they promise.
type Log interface {
	Append(build func(dst []byte, id event.ID) []byte) (room bool)
	WaitRoom(ctx context.Context) error
	Seal()
	SealWith(build func(dst []byte, id event.ID) []byte)
	Close()
	Expire() (sealed time.Time)

	Advance(above event.Position) bool
	Settle(pos event.Position) event.Position

	Read(pos event.Position, limit int) (records []byte, next event.Position, err error)
	Record(pos event.Position) (record []byte, ok bool)
	Watch(w eventlog.Watcher)
	Unwatch(w eventlog.Watcher)
	Wake()
	Written(pos event.Position)
	Attach()
	Detach()

	Bounds() (first, last event.Position)
	Between(from, to event.Position) uint64
	Onward(pos event.Position) event.Position
	Holds(mark event.Mark, pos event.Position) bool
	MarkAt(pos event.Position) event.Mark
	Start() event.Position
	Mark() event.Mark
	Generation() (start, last event.Position)
}

// Open makes an empty log.
type Open func(eventlog.Options) Log

// Run runs every case on logs that open makes. Most run inside a bubble of testing/synctest, where a writer that waits
// shows as one: a log must make its channels where it is used.
func Run(t *testing.T, open Open) {
	for _, group := range [][]testCase{readCases, startCases, generationCases, trimCases, sharedCases, waitCases, endCases, budgetCases, sharedBudgetCases} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Logf("why: %s", c.why)
				synctest.Test(t, func(t *testing.T) { c.run(t, open) })
			})
		}
	}
	for _, group := range [][]testCase{modelCases, crowdCases} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Logf("why: %s", c.why)
				c.run(t, open)
			})
		}
	}
}

// testCase is one promise.
type testCase struct {
	name string
	why  string // what would go wrong without
	run  func(*testing.T, Open)
}

// start is the cursor before the first record of the logs that are tested.
const start event.Position = 1000

// roomy are limits that no case comes near.
var roomy = eventlog.Limits{Age: time.Hour, Events: 1 << 30, Bytes: 1 << 40}

// make opens a log; zero limits are roomy.
func (open Open) make(o eventlog.Options) Log {
	if o.Limits == (eventlog.Limits{}) {
		o.Limits = roomy
	}
	o.First, o.Mark = start, event.NewMark()
	return open(o)
}

// add appends a record.
func add(l Log, record string) {
	l.Append(func(dst []byte, _ event.ID) []byte { return append(dst, record...) })
}

// addMany appends n records of size bytes.
func addMany(l Log, n, size int) {
	record := strings.Repeat("x", size)
	for range n {
		add(l, record)
	}
}

// isClosed reports whether c is closed now.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Unix(1_700_000_000, 0)} }

func (c *clock) read() time.Time { return c.now }

// bounds checks the positions that a log holds records for.
func bounds(t testing.TB, l Log, first, last event.Position) {
	t.Helper()
	if gotFirst, gotLast := l.Bounds(); gotFirst != first || gotLast != last {
		t.Fatalf("bounds are (%d, %d], want (%d, %d]", gotFirst, gotLast, first, last)
	}
}
