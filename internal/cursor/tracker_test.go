package cursor_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// Each case is what happens to a call and what comes of it: "5 keep" is a message with the cursor 5 and the verdict,
// "-" one without a cursor, "reopen" a new opening at the cursor, "forget" one from the beginning. "at 5" and "at none"
// say from where it would be opened again; "id 5" and "id none" what the id of the message kept last carries.
var rulesOfTheContract = []struct {
	name, kind string
	inclusive  bool
	from       string // the call is opened here
	holds      string // the log holds these
	steps      string
	broken     string // the reason, if any
}{
	{"nothing seen", "int64", false, "", "", "at none, id none", ""},
	{"integers rise", "int64", false, "", "", "1 keep, id 1, 5 keep, id 5, at 5", ""},
	{"integers behind the cursor are new", "int64", false, "", "", "1 keep, 2 keep, reopen, 3 keep, at 3, 4 keep", ""},
	{"integers at or before the cursor are dropped", "int64", false, "", "", "1 keep, 3 keep, reopen, 1 drop, 3 drop, at 3, id 3, 4 keep, id 4", ""},
	{"also where the backend begins at the cursor", "int64", true, "", "", "1 keep, 3 keep, reopen, 3 drop, 4 keep", ""},
	{"also those that were not there before", "int64", false, "", "", "1 keep, 3 keep, reopen, 2 drop, 4 keep", ""},
	{"dropped until the first greater one, not behind it", "int64", false, "", "", "3 keep, reopen, 2 drop, 4 keep, 3 keep", cursor.ReasonNotRisen},
	{"opened again twice with nothing new", "int64", false, "", "", "3 keep, reopen, 3 drop, reopen, 2 drop, 3 drop, 4 keep", ""},
	{"integers that stay break the rule", "int64", false, "", "", "1 keep, 1 keep, at none, id none", cursor.ReasonNotRisen},
	{"integers that fall break the rule", "int64", false, "", "", "5 keep, 4 keep, at none, id none, 6 keep, at none, id none", cursor.ReasonNotRisen},
	{"a message without a cursor breaks the rule", "int64", false, "", "", "1 keep, - keep, at none, id none, 2 keep, id none", cursor.ReasonMissing},
	{"also as the first", "int64", false, "", "", "- keep, at none, 1 keep, at none", cursor.ReasonMissing},
	{"also while some are dropped", "int64", false, "", "", "2 keep, reopen, 1 drop, - keep, 2 keep", cursor.ReasonMissing},
	{"broken is for good", "int64", false, "", "", "1 keep, 1 keep, forget, 9 keep, at none, id none", cursor.ReasonNotRisen},
	{"unsigned integers rise past the largest signed one", "uint64", false, "", "", "9223372036854775807 keep, 9223372036854775808 keep, reopen, 9223372036854775807 drop, 18446744073709551615 keep", ""},
	{"negative cursors", "sint64", false, "", "", "-5 keep, -4 keep, reopen, -5 drop, 1 keep", ""},
	{"opened at a cursor", "int64", false, "5", "", "at 5, id none, 6 keep, at 6, id 6", ""},
	{"opened at a cursor, inclusive", "int64", true, "5", "", "at 5, 5 drop, id none, at 5, 6 keep, id 6", ""},
	{"opened at a cursor that the backend no longer has", "int64", false, "5", "", "forget, at none, 1 keep, at 1", ""},
	{"compacted: what comes is new, whatever it is", "int64", false, "", "", "5 keep, forget, at none, id none, 2 keep, at 2, id 2", ""},

	{"strings are equal or not", "string", false, "", "", "b keep, a keep, id a, at a", ""},
	{"strings behind the cursor are new", "string", false, "", "b", "b keep, reopen, a keep, at a", ""},
	{"strings, inclusive: the equal one is dropped", "string", true, "", "a b", "a keep, b keep, reopen, b drop, at b, id b, c keep", ""},
	{"strings, inclusive: exactly one", "string", true, "", "a b", "a keep, b keep, reopen, b drop, b keep, at none", cursor.ReasonRepeated},
	{"strings, inclusive: the first may be another", "string", true, "", "a", "a keep, reopen, b keep, at b", ""},
	{"strings, inclusive: opened again twice", "string", true, "", "a", "a keep, reopen, a drop, reopen, a drop, b keep", ""},
	{"strings: the equal one says that the field was ignored", "string", false, "", "a", "a keep, reopen, a ignored, at none, id none", cursor.ReasonIgnored},
	{"strings: so does one that the log holds", "string", false, "", "a b c", "a keep, b keep, c keep, reopen, a ignored, b keep, id none", cursor.ReasonIgnored},
	{"strings: so does one that the log holds, inclusive", "string", true, "", "a b c", "a keep, b keep, c keep, reopen, a ignored", cursor.ReasonIgnored},
	{"strings: only the first after an opening", "string", false, "", "a b", "a keep, b keep, reopen, c keep, a keep, at none", cursor.ReasonRepeated},
	{"strings: the same twice breaks the rule", "string", false, "", "", "a keep, a keep, at none, id none", cursor.ReasonRepeated},
	{"strings: one that the log holds breaks the rule", "string", false, "", "a b", "a keep, b keep, a keep, at none", cursor.ReasonRepeated},
	{"strings: one without a cursor breaks the rule", "string", false, "", "", "a keep, - keep, at none", cursor.ReasonMissing},
	{"strings: one without a cursor after an opening", "string", false, "", "", "a keep, reopen, - keep, at none", cursor.ReasonMissing},
	{"strings: opened at a cursor", "string", false, "a", "", "at a, b keep, at b", ""},
	{"strings: opened at a cursor, inclusive", "string", true, "a", "", "a drop, id none, b keep", ""},
	{"strings: opened at a cursor that is ignored", "string", false, "a", "", "a ignored", cursor.ReasonIgnored},
	{"strings: compacted, the old one is new", "string", false, "", "", "a keep, forget, at none, a keep, at a", ""},
	{"bytes are like strings", "bytes", true, "", "a", "a keep, reopen, a drop, b keep, at b", ""},
}

// value reads a cursor of a kind from a case; "" and "-" are none.
func value(t testing.TB, kind, text string) cursor.Value {
	t.Helper()
	if text == "" || text == "-" {
		return cursor.Value{}
	}
	switch kind {
	case "int64", "sint64":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return i(n)
	case "uint64":
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return u(n)
	default:
		return s(text)
	}
}

func TestTracker(t *testing.T) {
	for _, c := range rulesOfTheContract {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.kind, "cursor", c.inclusive)
			after := transcode.NewField(w.resume.Request)
			held := make(map[cursor.Value]bool) // as the log does: what was kept, of what the case says
			var reasons []string
			tr := w.rule().Track(w.encoded(`topic: "x"`), cursor.TrackerOptions{
				From: value(t, c.kind, c.from), HasFrom: c.from != "",
				Holds:  func(v cursor.Value) bool { return held[v] },
				Broken: func(reason string) { reasons = append(reasons, reason) },
			})
			for step := range strings.SplitSeq(c.steps, ", ") {
				what, arg, _ := strings.Cut(step, " ")
				switch what {
				case "reopen":
					tr.Reopened()
				case "forget":
					tr.Forget()
				case "at":
					request, ok := tr.Request()
					v, _ := after.Find(request)
					if v != value(t, c.kind, strings.ReplaceAll(arg, "none", "")) || ok != (arg != "none") {
						t.Errorf("%s: %s, %v", step, v, ok)
					}
				case "id":
					v, ok := tr.Last()
					if v != value(t, c.kind, strings.ReplaceAll(arg, "none", "")) || ok != (arg != "none") {
						t.Errorf("%s: %s, %v", step, v, ok)
					}
				default:
					v := value(t, c.kind, what)
					if got := tr.See(w.message(v)); got.String() != arg {
						t.Errorf("%s: %s", step, got)
					}
					held[v] = strings.Contains(" "+c.holds+" ", " "+what+" ")
				}
			}
			if got := strings.Join(reasons, ", "); got != c.broken {
				t.Errorf("broken: %q, want %q", got, c.broken)
			}
		})
	}
}

func TestTrackerNeedsNoFunctions(t *testing.T) {
	w := newWorld(t, "string", "cursor", false)
	tr := w.rule().Track(nil, cursor.TrackerOptions{})
	for _, v := range []string{"a", "a", "b"} {
		if got := tr.See(w.message(s(v))); got != cursor.Keep {
			t.Errorf("%s: %s", v, got)
		}
	}
}

// backend is one that keeps what the option says: every event has its cursor, and the request's field alone decides
// where a call begins.
type backend struct {
	*world
	after   *transcode.Field // of its requests
	cursors []cursor.Value
	// early is how many events too many it may send where cursors are ordered: one that begins at the page of the cursor,
	// or ignores it.
	early int
}

func drawBackend(tb testing.TB, t *rapid.T) *backend {
	tb.Helper()
	kind := rapid.SampledFrom([]string{"int64", "sfixed32", "uint64", "string", "bytes"}).Draw(t, "kind")
	b := &backend{world: newWorld(tb, kind, "cursor", rapid.Bool().Draw(t, "inclusive"))}
	b.after = transcode.NewField(b.resume.Request)
	next := rapid.Int64Range(-5, 5).Draw(t, "first")
	for n := range rapid.IntRange(1, 30).Draw(t, "events") {
		next += rapid.Int64Range(1, 3).Draw(t, "step")
		if next == 0 {
			next++ // zero is no cursor here
		}
		switch kind {
		case "string", "bytes":
			b.cursors = append(b.cursors, s(fmt.Sprintf("%x-%d", next*7919%31, n)))
		case "uint64":
			b.cursors = append(b.cursors, u(uint64(next+100)))
		default:
			b.cursors = append(b.cursors, i(next))
		}
	}
	if b.rule().Ordered() {
		b.early = rapid.SampledFrom([]int{0, 1, 3, 1000}).Draw(t, "early")
	}
	return b
}

// from is the place of the first event that a request gets.
func (b *backend) from(request []byte) int {
	v, ok := b.after.Find(request)
	for n, c := range b.cursors {
		if ok && c == v {
			if !b.resume.Inclusive {
				n++
			}
			return max(0, n-b.early)
		}
	}
	return 0
}

// play reads a call as upstream does, cut at random places until it has ended, and returns what a reader gets. The log
// is index.
func (b *backend) play(t *rapid.T, tr *cursor.Tracker, request []byte, index *cursor.Index) (got []cursor.Value) {
	for range 1000 {
		opening, ok := tr.Request()
		if !ok {
			opening = request
		}
		rest := b.cursors[b.from(opening):]
		if ok {
			tr.Reopened()
		}
		n := rapid.IntRange(0, len(rest)+1).Draw(t, "cut after")
		for _, v := range rest[:min(n, len(rest))] {
			switch verdict := tr.See(b.message(v)); verdict {
			case cursor.Keep:
				got = append(got, v)
				index.Add(v, event.Position(len(got)))
				if last, ok := tr.Last(); !ok || last != v {
					t.Fatalf("the id of %s carries %s, %v", v, last, ok)
				}
			case cursor.Drop:
			case cursor.Ignored:
				t.Fatalf("%s: %s by an honest backend", v, verdict)
			}
		}
		if n > len(rest) {
			return got
		}
	}
	t.Fatalf("no end")
	return nil
}

// However a call is cut, a reader gets every event once and in order; and so does one that begins at a cursor.
func TestEverythingOnceInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBackend(t, rt)
		index := b.rule().NewIndex()
		o := cursor.TrackerOptions{
			Holds:  func(v cursor.Value) bool { _, ok := index.Find(v); return ok },
			Broken: func(reason string) { rt.Fatalf("broken: %s", reason) },
		}
		want := b.cursors
		if at := rapid.IntRange(-1, len(b.cursors)-1).Draw(rt, "begin at"); at >= 0 {
			o.From, o.HasFrom, want = b.cursors[at], true, b.cursors[at+1:]
		}
		request := b.encoded(`topic: "x" page { size: 5 }`)
		got := b.play(rt, b.rule().Track(request, o), request, index)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("%v, want %v", got, want)
		}
	})
}
