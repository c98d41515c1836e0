package event_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

func TestIDRoundTrip(t *testing.T) {
	mark := event.NewMark()
	check := event.CheckOf("a.B.C", []byte{1})
	for name, id := range map[string]event.ID{
		"event":               event.At(1, mark),
		"before every event":  event.At(0, mark),
		"largest":             event.At(event.MaxPosition, mark),
		"snapshot":            {Position: 7, Mark: mark, Snapshot: 9},
		"backend cursor":      {Position: 7, Mark: mark, Check: check, Backend: []byte("offset-12")},
		"empty backend":       {Position: 7, Mark: mark, Check: check, Backend: []byte{}},
		"snapshot and cursor": {Position: 7, Mark: mark, Snapshot: 9, Check: check, Backend: []byte{0, 255}},
		"end":                 event.EndAt(12, check),
	} {
		text := id.String()
		got, ok := event.Parse(text)
		if !ok {
			t.Errorf("%s: Parse(%q) refused it", name, text)
		}
		if diff := cmp.Diff(id, got); diff != "" {
			t.Errorf("%s: Parse(%q) (-want +got):\n%s", name, text, diff)
		}
	}
}

// TestPositions prints positions of all lengths, and of the longest some with each group of four digits in each place.
func TestPositions(t *testing.T) {
	check := func(p uint64) {
		t.Helper()
		if got, want := event.At(event.Position(p), event.Mark{}).String(), strconv.FormatUint(p, 10); got[:strings.IndexByte(got, '.')] != want {
			t.Fatalf("%d is printed as %q", p, got)
		}
	}
	for power := uint64(1); power < 1e19; power *= 10 {
		check(power - 1)
		check(power)
	}
	for group := range uint64(10_000) {
		for place := uint64(1); place <= 1e12; place *= 10_000 {
			check(1_763_776_012_345_678/place/10_000*place*10_000 + group*place + 1_763_776_012_345_678%place)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	mark := event.NewMark().String()
	for _, text := range []string{
		"", ".", "1", "1.", "." + mark, "01." + mark, "-1." + mark, "+1." + mark, "1e3." + mark, " 1." + mark,
		"9007199254740992." + mark, "99999999999999999999." + mark,
		"1." + mark[1:], "1." + mark + "x", "1." + mark + "~", "1." + mark + "~s", "1." + mark + "~s0", "1." + mark + "~s01",
		"1." + mark + "~c", "1." + mark + "~cabcd", "1." + mark + "~cabcde=", "1." + mark + "~cabcdeA", "1." + mark + "~x1",
		"1." + mark + "~cabcdeAA~s3", "1." + strings.Replace(mark, mark[3:4], "\x00", 1), "1." + mark[:15] + "é",
		"1.abcd.end", "1.abcdef.end", "1.abc e.end", "1." + mark + ".end", "1.abcde.END",
		"1." + mark + "~cabcde" + strings.Repeat("A", 200),
	} {
		if id, ok := event.Parse(text); ok {
			t.Errorf("Parse(%q) = %v, want it refused", text, id)
		}
	}
}

func TestLongBackendCursorIsLeftOut(t *testing.T) {
	id := event.ID{Position: 1, Mark: event.NewMark(), Check: event.CheckOf("m", nil), Backend: bytes.Repeat([]byte("x"), 500)}
	got, ok := event.Parse(id.String())
	if !ok || got.Backend != nil || got.Position != 1 {
		t.Fatalf("Parse(%q) = %v, %v, want the id without its backend cursor", id, got, ok)
	}
}

func TestCheckTellsMethodFromRequest(t *testing.T) {
	if event.CheckOf("ab", []byte("c")) == event.CheckOf("a", []byte("bc")) {
		t.Fatal("one check for two streams")
	}
}

func TestGenerationsOfARun(t *testing.T) {
	m := event.NewMark()
	next := m.NextGeneration()
	if next == m || !next.SameRun(m) || event.NewMark().SameRun(m) {
		t.Fatalf("mark %s, next generation %s", m, next)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1.abcdefghijklmnop")
	f.Add("7.abcdefghijklmnop~s9~cabcdeAAA")
	f.Add("12.abcde.end")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := event.Parse(text)
		if ok && id.String() != text {
			t.Fatalf("Parse(%q) reads as %q", text, id)
		}
	})
}

// BenchmarkID is the cost of an id: made for every event, read once for every connection.
func BenchmarkID(b *testing.B) {
	mark := event.NewMark()
	for name, id := range map[string]event.ID{
		"event":    event.At(1_763_776_000_000_000, mark),
		"snapshot": {Position: 1_763_776_000_000_000, Mark: mark, Snapshot: 1_763_776_000_000_100},
		"backend":  {Position: 1_763_776_000_000_000, Mark: mark, Check: event.CheckOf("a.B.C", nil), Backend: []byte("offset-12")},
	} {
		text := id.String()
		b.Run("append/"+name, func(b *testing.B) {
			b.ReportAllocs()
			dst := make([]byte, 0, event.MaxLen)
			for b.Loop() {
				dst = id.Append(dst[:0])
			}
		})
		b.Run("parse/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := event.Parse(text); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
