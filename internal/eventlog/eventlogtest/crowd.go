package eventlogtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var crowdCases = []testCase{
	{
		"a crowd of readers gets every event, in order, from the same memory",
		"one that is left behind must lose nothing, and a thousand readers must not need a thousand copies",
		crowdGetsAll,
	},
	{
		"a crowd that cannot keep up is told what it missed, and memory stays bounded",
		"the slowest reader would decide how much memory a stream needs",
		func(t *testing.T, open Open) { crowdIsTold(t, open, eventlog.Paced) },
	},
	{
		"a crowd of a shared log is told what it missed, and memory stays bounded though the writer waits for nobody",
		"the slowest reader would decide how fast a stream is, or how much memory it needs",
		func(t *testing.T, open Open) { crowdIsTold(t, open, eventlog.Shared) },
	},
	{
		"a reader of a shared log that is always behind reads a million events in flat memory",
		"whoever catches up would hold what is long gone",
		catchUpIsFlat,
	},
}

// crowdRecord is how many bytes each record has: its number, and more of it.
const crowdRecord = 12

// crowdRecords are all records, back to back.
func crowdRecords() []byte {
	all := make([]byte, 0, crowdEvents*crowdRecord)
	for i := range uint64(crowdEvents) {
		all = binary.BigEndian.AppendUint64(all, i)
		all = binary.BigEndian.AppendUint32(all, uint32(i)*2654435761)
	}
	return all
}

// write appends all records, as fast as the log lets it, and seals the log.
func write(t *testing.T, l Log, all []byte) error {
	for i := range crowdEvents {
		l.Append(func(dst []byte, _ event.ID) []byte { return append(dst, all[i*crowdRecord:][:crowdRecord]...) })
		if err := l.WaitRoom(t.Context()); err != nil {
			return err
		}
	}
	l.Seal()
	return nil
}

// reader is one of the crowd.
type reader struct {
	limit int // bytes it takes at once
	pause int // it lets others run after this many reads; 0: never
	seen  uint64
	// missed is what it was told that it missed.
	missed uint64
}

// newReader is the reader number i: most take much, some little, a few a single record at a time.
func newReader(i int) *reader {
	r := &reader{limit: []int{64 << 10, 16 << 10, 4000, 1000, 64 << 10}[i%5], pause: []int{0, 1, 10, 3}[i%4]}
	if i%250 == 0 {
		r.limit = 1
	}
	return r
}

// read reads to the end and checks every byte.
func (r *reader) read(l Log, news *News, all []byte) error {
	pos := start
	for n := 1; ; n++ {
		changed := news.Next()
		records, next, err := l.Read(pos, r.limit)
		if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
			if trimmed.Oldest != pos+event.Position(trimmed.Missed) {
				return fmt.Errorf("at %d: %d missed up to %d", pos, trimmed.Missed, trimmed.Oldest)
			}
			r.missed += trimmed.Missed
			pos = trimmed.Oldest
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if next == pos {
			<-changed
			continue
		}
		from, to := int(pos-start)*crowdRecord, int(next-start)*crowdRecord
		if to > len(all) || !bytes.Equal(records, all[from:to]) {
			return fmt.Errorf("read other bytes from %d to %d than were appended", pos, next)
		}
		r.seen += uint64(next - pos)
		pos = next
		l.Written(pos)
		if r.pause > 0 && n%r.pause == 0 {
			runtime.Gosched()
		}
	}
}

// crowd runs a writer and the readers, and returns the readers and the most bytes that were counted meanwhile.
func crowd(t *testing.T, l Log, b *eventlog.Budget, all []byte) (readers []*reader, most int64) {
	t.Helper()
	news := Watch(l)
	var work sync.WaitGroup
	var failed atomic.Int64
	for i := range crowdReaders {
		r := newReader(i)
		readers = append(readers, r)
		work.Go(func() {
			if err := r.read(l, news, all); err != nil && failed.Add(1) <= 3 {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	written := make(chan error, 1) // one slot, so that the writer can end before it is asked
	go func() { written <- write(t, l, all) }()
	sample := time.NewTicker(time.Millisecond)
	defer sample.Stop()
	for {
		select {
		case <-sample.C:
			most = max(most, b.Used())
			continue
		case err := <-written:
			if err != nil {
				t.Error(err)
				l.Close()
			}
		}
		work.Wait()
		return readers, max(most, b.Used())
	}
}

func crowdGetsAll(t *testing.T, open Open) {
	all := crowdRecords()
	b := eventlog.NewBudget(1 << 30)
	l := open.make(eventlog.Options{Budget: b})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	readers, most := crowd(t, l, b, all)
	runtime.GC()
	runtime.ReadMemStats(&after)
	for i, r := range readers {
		if r.seen != crowdEvents || r.missed != 0 {
			t.Fatalf("reader %d got %d of %d events and was told that it missed %d", i, r.seen, crowdEvents, r.missed)
		}
	}
	// Each record has an index entry beside its bytes, and slices grow ahead.
	if limit := int64(len(all))*3 + 1<<20; most > limit {
		t.Errorf("%d bytes were counted for %d", most, len(all))
	}
	if grown, limit := int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(len(all))*5+16<<20; grown > limit {
		t.Errorf("the heap grew by %d bytes for %d of records", grown, len(all))
	}
	l.Close()
	if b.Used() != 0 {
		t.Errorf("%d bytes are still counted", b.Used())
	}
}

func crowdIsTold(t *testing.T, open Open, mode eventlog.Mode) {
	all := crowdRecords()
	const kept = 64 << 10
	b := eventlog.NewBudget(1 << 30)
	l := open.make(eventlog.Options{Mode: mode, Budget: b, Limits: eventlog.Limits{Age: time.Hour, Events: 1 << 30, Bytes: kept}})
	readers, most := crowd(t, l, b, all)
	missed := uint64(0)
	for i, r := range readers {
		if r.seen+r.missed != crowdEvents {
			t.Fatalf("reader %d got %d of %d events and was told that it missed %d", i, r.seen, crowdEvents, r.missed)
		}
		missed += r.missed
	}
	t.Logf("%d of %d events were missed, %d bytes were held at most", missed, uint64(crowdEvents)*crowdReaders, most)
	// The sent part, half of it unsent, and as much again for the index and parts of segments.
	if most > 5*kept {
		t.Errorf("%d bytes were held for %d that are to be kept", most, kept)
	}
	l.Close()
	if b.Used() != 0 {
		t.Errorf("%d bytes are still counted", b.Used())
	}
}
