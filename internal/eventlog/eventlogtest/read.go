package eventlogtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var readCases = []testCase{
	{
		"an empty log has nothing yet",
		"a reader that comes before the first event must wait for it, not end",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			if records, next, err := l.Read(start, 100); len(records) != 0 || next != start || err != nil {
				t.Errorf("Read = %q, %d, %v", records, next, err)
			}
			bounds(t, l, start, start)
			if l.Start() != start || !l.Holds(l.Mark(), start) {
				t.Errorf("Start %d, Holds(start) %t", l.Start(), l.Holds(l.Mark(), start))
			}
		},
	},
	{
		"positions go up by one from the start, under one mark",
		"a hole in the numbers is a loss to whoever counts them, a number twice is a repetition",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			mark := l.Mark()
			for i := range event.Position(500) {
				called := 0
				l.Append(func(dst []byte, id event.ID) []byte {
					if called++; id.Position != start+1+i || id.Mark != mark || id.End {
						t.Fatalf("record %d was given the id %v", i, id)
					}
					return append(dst, strings.Repeat("x", int(i))...)
				})
				if called != 1 {
					t.Fatalf("record %d was built %d times", i, called)
				}
			}
		},
	},
	{"reads give whole records, at least one, at most the limit", "a frame that is torn or left out at a boundary is lost", readsWholeRecords},
	{
		"a record is read however large it is and however small the limit",
		"a reader with a small buffer would be stuck at a large event for ever",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			large := strings.Repeat("large", 100_000)
			for _, record := range []string{"a", large, "b"} {
				add(l, record)
			}
			for i, want := range []string{"a", large, "b"} {
				for _, limit := range []int{-1, 0, 1} {
					pos := start + event.Position(i)
					if records, next, err := l.Read(pos, limit); string(records) != want || next != pos+1 || err != nil {
						t.Errorf("Read(%d, %d) = %d bytes, %d, %v", pos, limit, len(records), next, err)
					}
				}
			}
		},
	},
	{
		"a read takes what fits",
		"a write for each event costs more than the events",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			addMany(l, 100, 10)
			for limit, want := range map[int]event.Position{29: 2, 30: 3, 39: 3, 1000: 100} {
				if _, next, err := l.Read(start, limit); next != start+want || err != nil {
					t.Errorf("Read with a limit of %d: %d records, %v; want %d", limit, next-start, err, want)
				}
			}
		},
	},
	{
		"an empty record has a position",
		"skipping it would give its number to the next one",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			for _, record := range []string{"", "a", "", "", "b", ""} {
				add(l, record)
			}
			bounds(t, l, start, start+6)
			got, pos := "", start
			for pos < start+6 {
				records, next, err := l.Read(pos, 0)
				if err != nil || next <= pos {
					t.Fatalf("Read(%d) = %q, %d, %v", pos, records, next, err)
				}
				got, pos = got+string(records), next
			}
			if got != "ab" {
				t.Errorf("read %q, want %q", got, "ab")
			}
		},
	},
	{"what was read stays as it was", "readers write it to slow sockets long after, and all have the same memory", readsStay},
	{
		"a position behind the end is an error",
		"waiting there would leave out what comes before it",
		func(t *testing.T, open Open) {
			l := open.make(eventlog.Options{})
			add(l, "a")
			if _, _, err := l.Read(start+2, 100); !errors.Is(err, eventlog.ErrAhead) {
				t.Errorf("Read: %v", err)
			}
			if l.Holds(l.Mark(), start+2) || !l.Holds(l.Mark(), start+1) || !l.Holds(l.Mark(), start) || l.Holds(l.Mark(), start-1) {
				t.Error("Holds does not span the start to the newest")
			}
		},
	},
}

// readsWholeRecords reads records of all sizes around the sizes that memory is taken in, from every position, with
// different limits.
func readsWholeRecords(t *testing.T, open Open) {
	l := open.make(eventlog.Options{})
	var all strings.Builder
	begins := []int{0}
	for i := range 400 {
		record := fmt.Sprintf("%d|%s\n", i, strings.Repeat("r", []int{0, 1, 30, 500, 1023, 4096, 5000, 40_000}[i*i%8]))
		add(l, record)
		all.WriteString(record)
		begins = append(begins, all.Len())
	}
	for from := range 400 {
		for _, limit := range []int{1, 100, 3000, 64 << 10, 1 << 30} {
			pos := start + event.Position(from)
			records, next, err := l.Read(pos, limit)
			if err != nil || next <= pos || next > start+400 {
				t.Fatalf("Read(%d, %d) = %d bytes, %d, %v", pos, limit, len(records), next, err)
			}
			if want := all.String()[begins[from]:begins[next-start]]; string(records) != want {
				t.Fatalf("Read(%d, %d) up to %d gave other bytes than were appended", pos, limit, next)
			}
			if len(records) > limit && next != pos+1 {
				t.Fatalf("Read(%d, %d) = %d bytes in %d records", pos, limit, len(records), next-pos)
			}
		}
	}
}

func readsStay(t *testing.T, open Open) {
	l := open.make(eventlog.Options{Limits: eventlog.Limits{Age: roomy.Age, Events: 10, Bytes: 1 << 20}})
	type reading struct {
		got  []byte
		want string
	}
	var readings []reading
	for i := range 1000 {
		pos := start + event.Position(i)
		record := fmt.Sprintf("record %d ", i)
		add(l, record)
		got, next, err := l.Read(pos, 1)
		if err != nil {
			t.Fatal(err)
		}
		readings = append(readings, reading{got, record})
		l.Written(next)
	}
	for _, r := range readings {
		_ = append(r.got, "!!!"...) // who appends to what was read must not write into the next record
	}
	l.Close()
	for i, r := range readings {
		if string(r.got) != r.want {
			t.Fatalf("record %d was %q when it was read and is %q now", i, r.want, r.got)
		}
	}
}
