package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

func add(l *eventlog.Log, n int, record string) {
	for range n {
		l.Append(func(dst []byte, _ event.ID) []byte { return append(dst, record...) })
	}
}

func newLog(o eventlog.Options) *eventlog.Log {
	if o.Limits == (eventlog.Limits{}) {
		o.Limits = eventlog.Limits{Age: time.Hour, Events: 1 << 20, Bytes: 8 << 20}
	}
	o.First, o.Mark = 100, event.NewMark()
	return eventlog.New(o)
}

func TestReadReturnsWhatWasAppended(t *testing.T) {
	l := newLog(eventlog.Options{})
	var want bytes.Buffer
	mark := l.Mark()
	for i := range 5000 {
		l.Append(func(dst []byte, id event.ID) []byte {
			if id.Position != event.Position(101+i) || id.Mark != mark {
				t.Fatalf("record %d has id %s", i, id)
			}
			return fmt.Appendf(dst, "record %d;", i)
		})
		fmt.Fprintf(&want, "record %d;", i)
	}
	l.Seal()
	var got bytes.Buffer
	for pos := event.Position(100); ; {
		records, next, err := l.Read(pos, 1000)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || next <= pos || len(records) > 1000 {
			t.Fatalf("Read(%d) = %d bytes, %d, %v", pos, len(records), next, err)
		}
		got.Write(records)
		pos = next
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatal("the records read are not those appended")
	}
}

func TestReadTakesOneRecordHoweverLarge(t *testing.T) {
	l := newLog(eventlog.Options{})
	add(l, 1, string(make([]byte, 300<<10)))
	add(l, 2, "small")
	if records, next, err := l.Read(100, 10); err != nil || len(records) != 300<<10 || next != 101 {
		t.Fatalf("Read = %d bytes, %d, %v", len(records), next, err)
	}
}

func TestReadErrors(t *testing.T) {
	l := newLog(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 2, Bytes: 1 << 20}})
	add(l, 10, "x")
	if _, _, err := l.Read(111, 10); !errors.Is(err, eventlog.ErrAhead) {
		t.Errorf("ahead of the log: %v", err)
	}
	if _, next, err := l.Read(110, 10); err != nil || next != 110 {
		t.Errorf("at the end: %d, %v", next, err)
	}
	l.Written(110)
	var trimmed *eventlog.TrimmedError
	if _, _, err := l.Read(100, 10); !errors.As(err, &trimmed) || trimmed.Oldest != 108 || trimmed.Missed != 8 {
		t.Errorf("trimmed: %v", err)
	}
	if !l.Holds(l.Mark(), 100) || l.Holds(l.Mark(), 99) || l.Holds(l.Mark(), 111) || !l.Holds(l.Mark(), 110) {
		t.Error("Holds does not span the generation")
	}
	l.Seal()
	if _, _, err := l.Read(110, 10); !errors.Is(err, io.EOF) {
		t.Errorf("end of a sealed log: %v", err)
	}
	l.Close()
	if _, _, err := l.Read(110, 10); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestUnsentIsNeverTrimmed(t *testing.T) {
	l := newLog(eventlog.Options{Limits: eventlog.Limits{Age: time.Nanosecond, Events: 1, Bytes: 1024}})
	add(l, 100, "0123456789")
	if first, last := l.Bounds(); first != 100 || last != 200 {
		t.Fatalf("bounds %d, %d", first, last)
	}
	l.Written(150)
	if first, _ := l.Bounds(); first != 149 && first != 150 {
		t.Fatalf("after 50 were written the log begins at %d", first)
	}
}

func TestOneRecordIsAlwaysKept(t *testing.T) {
	l := newLog(eventlog.Options{Limits: eventlog.Limits{Age: time.Nanosecond, Events: 1, Bytes: 1}})
	add(l, 3, "0123456789")
	l.Written(103)
	if first, last := l.Bounds(); first != 102 || last != 103 {
		t.Fatalf("bounds %d, %d", first, last)
	}
}

func TestKeepNewestNeverWaits(t *testing.T) {
	l := newLog(eventlog.Options{Mode: eventlog.Newest, Limits: eventlog.Limits{Age: time.Hour, Events: 10, Bytes: 1 << 20}})
	add(l, 100, "x")
	if first, last := l.Bounds(); first != 190 || last != 200 {
		t.Fatalf("bounds %d, %d", first, last)
	}
	if err := l.WaitRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Written(195) // a reader that was behind the trimmed part
	if records, next, err := l.Read(195, 100); err != nil || len(records) != 5 || next != 200 {
		t.Fatalf("Read = %q, %d, %v", records, next, err)
	}
}

func TestWriterWaitsForReaders(t *testing.T) {
	l := newLog(eventlog.Options{Limits: eventlog.Limits{Age: time.Hour, Events: 1000, Bytes: 100}})
	add(l, 5, "0123456789")
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- l.WaitRoom(ctx) }()
	select {
	case err := <-waited:
		t.Fatalf("WaitRoom did not wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	l.Written(101)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	add(l, 1, "0123456789")
	cancel()
	if err := l.WaitRoom(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// Room is asked for after every message: that must cost nothing while there is some.
func TestAskingForRoomAllocatesNothing(t *testing.T) {
	for _, mode := range []eventlog.Mode{eventlog.Paced, eventlog.Newest, eventlog.Shared} {
		l := newLog(eventlog.Options{Mode: mode, Budget: eventlog.NewBudget(64 << 20)})
		add(l, 2000, "x")
		pos := l.Start()
		allocs := testing.AllocsPerRun(1000, func() {
			pos++
			l.Written(pos)
			if err := l.WaitRoom(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if allocs > 0 {
			t.Errorf("mode %d: %v allocations each time", mode, allocs)
		}
		l.Close()
	}
}

// What is read from the beginning comes in large pieces, though it was appended when the log was small: each piece is a
// system call for whoever reads it all.
func TestPiecesGrowWithTheLog(t *testing.T) {
	const size, records = 250, 1000
	l := newLog(eventlog.Options{})
	want := make([]byte, 0, size*records)
	for i := range records {
		record := fmt.Appendf(nil, "%0*d", size, i)
		add(l, 1, string(record))
		want = append(want, record...)
	}
	var got []byte
	pieces := 0
	for pos, last := event.Position(100), event.Position(100+records); pos < last; pieces++ {
		part, next, err := l.Read(pos, len(want))
		if err != nil {
			t.Fatal(err)
		}
		got, pos = append(got, part...), next
	}
	if !bytes.Equal(got, want) {
		t.Error("the records read are not those appended")
	}
	if most := 1 + len(want)/(48<<10); pieces > most {
		t.Errorf("%d bytes came in %d pieces, want at most %d", len(want), pieces, most)
	}
}
