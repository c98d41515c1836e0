package eventlogtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

const (
	catchUpRecord = 200  // bytes
	catchUpKept   = 8000 // events
	catchUpStep   = 1000 // events after which the reader says how far it is
	// catchUpLag is how many steps the writer may be ahead: the reader is always behind, and never out of what is kept.
	catchUpLag = catchUpKept/catchUpStep - 2
)

// catchUpIsFlat has a reader that is always behind read many times more than is kept, while the writer appends.
func catchUpIsFlat(t *testing.T, open Open) {
	b := eventlog.NewBudget(1 << 30)
	l := open.make(eventlog.Options{
		Mode: eventlog.Shared, Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: catchUpKept, Bytes: 1 << 30},
	})
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	before, most := memory.HeapAlloc, uint64(0)
	steps := make(chan struct{}, catchUpLag) // holds one for each step that the writer is ahead
	read := make(chan error, 1)              // one slot, so that a failing test leaves no goroutine behind
	go func() { read <- readBehind(l, steps) }()
	for i := range uint64(crowdEvents) {
		if i%catchUpStep == 0 {
			select {
			case steps <- struct{}{}:
			case err := <-read:
				t.Fatalf("the reader ended after about %d events: %v", i, err)
			}
		}
		l.Append(func(dst []byte, _ event.ID) []byte { return append(dst, numbered(i)...) })
		if err := l.WaitRoom(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%(crowdEvents/20) == 0 {
			runtime.GC()
			runtime.ReadMemStats(&memory)
			most = max(most, memory.HeapAlloc)
		}
	}
	l.Seal()
	if err := <-read; err != nil {
		t.Error(err)
	}
	// What is kept, with its index, parts of segments at both ends, and whatever else the test holds.
	const limit = 2*catchUpKept*catchUpRecord + 4<<20
	if most > before+limit || b.Used() > limit {
		t.Errorf("the heap grew by %d bytes and %d are counted, want at most %d of the %d that were read",
			int64(most)-int64(before), b.Used(), limit, crowdEvents*catchUpRecord)
	}
	l.Close()
}

// numbered is the record number i.
func numbered(i uint64) []byte {
	var record [catchUpRecord]byte
	binary.BigEndian.PutUint64(record[:], i)
	return record[:]
}

// readBehind reads a log of numbered records to its end, and frees a step whenever it has read one.
func readBehind(l Log, steps <-chan struct{}) error {
	seen, news := uint64(0), Watch(l)
	for pos := start; ; {
		changed := news.Next()
		records, next, err := l.Read(pos, 64<<10)
		if errors.Is(err, io.EOF) {
			if seen != crowdEvents {
				return fmt.Errorf("%d of %d events were read", seen, crowdEvents)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if next == pos {
			<-changed
			continue
		}
		for ; len(records) > 0; records = records[catchUpRecord:] {
			if got := binary.BigEndian.Uint64(records); got != seen {
				return fmt.Errorf("event %d was read in place of %d", got, seen)
			}
			if seen++; seen%catchUpStep == 0 {
				<-steps
			}
		}
		pos = next
		l.Written(pos)
	}
}
