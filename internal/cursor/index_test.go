package cursor_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
)

// wantAt checks an answer of an Index; 0 is none.
func wantAt(t *testing.T, what string, pos event.Position, ok bool, want event.Position) {
	t.Helper()
	if pos != want || ok != (want != 0) {
		t.Errorf("%s: %d, %v, want %d", what, pos, ok, want)
	}
}

func TestIndexOfIntegers(t *testing.T) {
	x := newWorld(t, "int64", "cursor", false).rule().NewIndex()
	if _, _, ok := x.Last(); ok {
		t.Error("an empty index has a last")
	}
	for n := range 5 {
		x.Add(i(int64(10*n-10)), event.Position(100+n)) // -10 0 10 20 30 at 100 …
	}
	find := func(v int64, exact, floor event.Position) {
		t.Helper()
		pos, ok := x.Find(i(v))
		wantAt(t, "find "+strconv.FormatInt(v, 10), pos, ok, exact)
		pos, ok = x.Floor(i(v))
		wantAt(t, "floor "+strconv.FormatInt(v, 10), pos, ok, floor)
	}
	find(-11, 0, 0)
	find(-10, 100, 100)
	find(9, 0, 101)
	find(10, 102, 102)
	find(30, 104, 104)
	find(31, 0, 0) // not there yet
	if v, pos, ok := x.Last(); v != i(30) || pos != 104 || !ok {
		t.Errorf("last: %s at %d, %v", v, pos, ok)
	}

	x.Trim(102)
	find(10, 0, 0)
	find(25, 0, 103)
	x.Trim(50) // older than what is gone
	find(20, 103, 103)

	x.Add(i(5), 110) // the call began afresh
	find(30, 0, 0)
	find(5, 110, 110)
	x.Clear()
	find(5, 0, 0)
}

func TestIndexOfStrings(t *testing.T) {
	x := newWorld(t, "string", "cursor", false).rule().NewIndex()
	for n, v := range []string{"b", "a", "c", "b"} {
		x.Add(s(v), event.Position(n+1))
	}
	find := func(v string, want event.Position) {
		t.Helper()
		pos, ok := x.Find(s(v))
		wantAt(t, "find "+v, pos, ok, want)
		pos, ok = x.Floor(s(v))
		wantAt(t, "floor "+v, pos, ok, want)
	}
	find("a", 2)
	find("b", 4) // the last one
	find("aa", 0)
	x.Trim(2)
	find("a", 0)
	find("b", 4) // the first b went, not this one
	if v, pos, ok := x.Last(); v != s("b") || pos != 4 || !ok {
		t.Errorf("last: %s at %d, %v", v, pos, ok)
	}
	x.Trim(4)
	find("b", 0)
	if _, _, ok := x.Last(); ok {
		t.Error("all is gone, and there is a last")
	}
	x.Add(s("d"), 5)
	find("d", 5)
}

// An index answers like a list that is searched from its end.
func TestIndexIsLikeAList(t *testing.T) {
	rules := []*cursor.Rule{newWorld(t, "int64", "cursor", false).rule(), newWorld(t, "string", "cursor", false).rule()}
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom(rules).Draw(t, "rule")
		x := rule.NewIndex()
		type entry struct {
			n   int64
			pos event.Position
		}
		var list []entry
		value := func(n int64) cursor.Value {
			if rule.Ordered() {
				return i(n)
			}
			return s(strconv.FormatInt(n, 10))
		}
		next, pos := int64(0), event.Position(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "trim") == 0 {
				first := event.Position(rapid.IntRange(0, int(pos)).Draw(t, "first"))
				x.Trim(first)
				list = slices.DeleteFunc(list, func(e entry) bool { return e.pos <= first })
				continue
			}
			pos += event.Position(rapid.IntRange(1, 3).Draw(t, "gap"))
			next += rapid.Int64Range(1, 3).Draw(t, "step")
			x.Add(value(next), pos)
			list = append(list, entry{next, pos})
		}
		n := rapid.Int64Range(-1, next+1).Draw(t, "sought")
		exact, floor := event.Position(0), event.Position(0)
		for _, e := range list {
			if e.n == n {
				exact = e.pos
			}
			if e.n <= n && rule.Ordered() || e.n == n {
				floor = e.pos
			}
		}
		if len(list) > 0 && rule.Ordered() && list[len(list)-1].n < n {
			floor = 0
		}
		if got, ok := x.Find(value(n)); got != exact || ok != (exact != 0) {
			t.Fatalf("find %d: %d, %v, want %d", n, got, ok, exact)
		}
		if got, ok := x.Floor(value(n)); got != floor || ok != (floor != 0) {
			t.Fatalf("floor %d: %d, %v, want %d", n, got, ok, floor)
		}
		if _, got, ok := x.Last(); ok != (len(list) > 0) || ok && got != list[len(list)-1].pos {
			t.Fatalf("last: %d, %v", got, ok)
		}
	})
}

// What is kept is bounded by what is not trimmed, however long it goes on; and so is the time for each event.
func TestIndexIsBounded(t *testing.T) {
	for _, kind := range []string{"int64", "string"} {
		rule := newWorld(t, kind, "cursor", false).rule()
		x := rule.NewIndex()
		most := 0
		for n := range 200_000 {
			v := i(int64(n + 1))
			if !rule.Ordered() {
				v = s("cursor " + strconv.Itoa(n))
			}
			x.Add(v, event.Position(n+1))
			if n > 1000 {
				x.Trim(event.Position(n - 1000))
			}
			most = max(most, x.Size())
		}
		if limit := 5000 * 64; most > limit {
			t.Errorf("%s: %d bytes for 1000 events, want at most %d", kind, most, limit)
		}
		if pos, ok := x.Find(mustLast(t, x)); !ok || pos != 200_000 {
			t.Errorf("%s: the last is at %d, %v", kind, pos, ok)
		}
		x.Trim(event.MaxPosition)
		if x.Size() != 0 {
			t.Errorf("%s: %d bytes for nothing", kind, x.Size())
		}
	}
}

func mustLast(t *testing.T, x *cursor.Index) cursor.Value {
	t.Helper()
	v, _, ok := x.Last()
	if !ok {
		t.Fatal("no last")
	}
	return v
}

// Readers search while the writer adds and trims. What they find is right at all times.
func TestIndexIsConcurrent(t *testing.T) {
	for _, kind := range []string{"int64", "string"} {
		rule := newWorld(t, kind, "cursor", false).rule()
		value := func(n int64) cursor.Value {
			if rule.Ordered() {
				return i(n)
			}
			return s(strconv.FormatInt(n, 10))
		}
		x := rule.NewIndex()
		const events = 3000
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := int64(1); n <= events; n++ {
					if pos, ok := x.Find(value(n)); ok && pos != event.Position(n) {
						t.Errorf("find %d: %d", n, pos)
					}
					if pos, ok := x.Floor(value(n)); ok && pos > event.Position(n) {
						t.Errorf("floor %d: %d", n, pos)
					}
					x.Last()
					x.Size()
				}
			})
		}
		wg.Go(func() {
			for n := int64(1); n <= events; n++ {
				x.Add(value(n), event.Position(n))
				if n > 100 {
					x.Trim(event.Position(n - 100))
				}
			}
		})
		wg.Wait()
	}
}

func BenchmarkIndexAdd(b *testing.B) {
	x := newWorld(b, "int64", "cursor", false).rule().NewIndex()
	b.ReportAllocs()
	for n := event.Position(1); b.Loop(); n++ {
		x.Add(i(int64(n)), n)
		x.Trim(n - min(n, 10_000))
	}
}

func BenchmarkTracker(b *testing.B) {
	w := newWorld(b, "int64", "cursor", false)
	tr := w.rule().Track(nil, cursor.TrackerOptions{})
	message := make([]byte, 0, 16)
	b.ReportAllocs()
	for n := int64(1); b.Loop(); n++ {
		message = w.field.Append(message[:0], i(n))
		if tr.See(message) != cursor.Keep {
			b.Fatal("not kept")
		}
	}
}
