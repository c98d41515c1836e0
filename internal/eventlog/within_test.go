package eventlog_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

func TestWithin(t *testing.T) {
	l := newLog(eventlog.Options{}) // begins at 100
	for _, record := range []string{"a", "bcd", "ef"} {
		add(l, 1, record)
	}
	l.Advance(500)
	add(l, 1, "ghij")
	for _, tc := range []struct {
		pos event.Position
		n   int
		at  event.Position
		end int
	}{
		{100, 0, 101, 1}, // nothing was taken: the next record is written whole
		{100, 1, 102, 4},
		{100, 2, 102, 4},
		{100, 3, 102, 4},
		{100, 4, 103, 6},
		{100, 6, 501, 10}, // in the next generation
		{100, 9, 501, 10},
		{101, 0, 102, 3},
		{102, 1, 103, 2},
		{103, 0, 501, 4}, // the end of a generation
		{500, 3, 501, 4}, // and the start of the next
		{250, 2, 501, 4}, // and what is between them
	} {
		if at, end, ok := l.Within(tc.pos, tc.n); at != tc.at || end != tc.end || !ok {
			t.Errorf("Within(%d, %d) = %d, %d, %v, want %d, %d", tc.pos, tc.n, at, end, ok, tc.at, tc.end)
		}
	}
	for _, pos := range []event.Position{501, 502} {
		if at, end, ok := l.Within(pos, 0); ok {
			t.Errorf("at the end: Within(%d, 0) = %d, %d", pos, at, end)
		}
	}
	l.Seal()
	if at, end, ok := l.Within(102, 1); at != 103 || end != 2 || !ok {
		t.Errorf("of a sealed log: %d, %d, %v", at, end, ok)
	}
	l.Close()
	if _, _, ok := l.Within(102, 1); ok {
		t.Error("of a closed log")
	}
}

func TestWithinWhatIsNoLongerKept(t *testing.T) {
	l := newLog(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Hour, Events: 3, Bytes: 1 << 20}})
	add(l, 10, "xy") // 108, 109 and 110 are kept
	if _, _, ok := l.Within(106, 1); ok {
		t.Error("before the oldest record kept")
	}
	if at, end, ok := l.Within(107, 3); at != 109 || end != 4 || !ok {
		t.Errorf("from the oldest record kept on: %d, %d, %v", at, end, ok)
	}
}

// TestWithinFindsEveryByte: wherever a reader's bytes are cut, what it takes up to the end of the record that was begun and
// what it reads from there on are the log, and no record less would do.
func TestWithinFindsEveryByte(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0))
		l := newLog(eventlog.Options{})
		ends := []int{0} // of the records, counted from the first
		positions := []event.Position{100}
		for range 300 {
			if random.IntN(40) == 0 {
				_, last := l.Bounds()
				l.Advance(last + event.Position(1+random.IntN(50)))
			}
			size := random.IntN(200)
			if random.IntN(50) == 0 {
				size = random.IntN(50_000)
			}
			add(l, 1, string(make([]byte, size)))
			_, last := l.Bounds()
			ends, positions = append(ends, ends[len(ends)-1]+size), append(positions, last)
		}
		for range 5000 {
			from := random.IntN(300)
			records, _, err := l.Read(positions[from], random.IntN(100_000))
			if err != nil {
				t.Fatal(err)
			}
			if len(records) == 0 {
				continue // an empty one cannot be cut
			}
			n := random.IntN(len(records))
			begun := from + 1
			for ends[begun]-ends[from] <= n {
				begun++
			}
			at, end, ok := l.Within(positions[from], n)
			if !ok || at != positions[begun] || end != ends[begun]-ends[from] || end > len(records) {
				t.Fatalf("seed %d: Within(%d, %d) of %d bytes = %d, %d, %v, want %d, %d", seed, positions[from], n, len(records), at, end,
					ok, positions[begun], ends[begun]-ends[from])
			}
		}
		l.Close()
	}
}

// TestWithinWhileOthersAppend: what was read is cut right, or no longer kept, whatever has come since.
func TestWithinWhileOthersAppend(t *testing.T) {
	l := newLog(eventlog.Options{Mode: eventlog.Shared, Limits: eventlog.Limits{Age: time.Hour, Events: 200, Bytes: 20_000}})
	var readers sync.WaitGroup
	for seed := range uint64(3) {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			pos, kept := l.Start(), 0
			for {
				first, last := l.Bounds()
				pos = max(pos, first)
				records, next, err := l.Read(pos, 1+random.IntN(5000))
				if err != nil && last >= 20_000 || kept >= 20_000 { // sealed, or enough
					return
				}
				if len(records) == 0 {
					continue
				}
				n := random.IntN(len(records))
				at, end, ok := l.Within(pos, n)
				if !ok {
					pos = next
					continue
				}
				kept++
				if end <= n || end > len(records) || bytes.Count(records[n:end], []byte("\n")) != 1 || records[end-1] != '\n' {
					t.Errorf("of %d bytes that begin at %d, %d were taken: go on to %d, which is %d", len(records), pos, n, end, at)
					return
				}
				pos = at
			}
		})
	}
	for i := range 20_000 {
		add(l, 1, fmt.Sprintf("%0*d\n", i%300, i))
	}
	l.Seal()
	readers.Wait()
}
