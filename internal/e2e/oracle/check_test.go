package oracle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	runA = "AAAAAAAAAAAAA001"
	runB = "BBBBBBBBBBBBB001"
)

func id(position int, mark string) string { return strconv.Itoa(position) + "." + mark }

// link is link n of the chain s.
func link(n int) oracle.Link {
	l := oracle.Link{Stream: "s", Prev: oracle.Link{Stream: "s"}.Sum()}
	for i := 1; ; i++ {
		l.N, l.Payload = uint64(i), fmt.Sprintf("payload %d", i)
		l.Hash = l.Sum()
		if i == n {
			return l
		}
		l.Prev = l.Hash
	}
}

func dataOf(l oracle.Link) string {
	data, err := json.Marshal(map[string]string{
		"stream": l.Stream, "n": strconv.FormatUint(l.N, 10), "prev": l.Prev, "hash": l.Hash, "payload": l.Payload,
	})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func open(connection int, id string, resumed bool) oracle.Record {
	return oracle.Record{Connection: connection, ID: id, Event: "stream.open", Data: fmt.Sprintf(`{"resumed":%t}`, resumed)}
}

func event(connection, position int, mark string, n int) oracle.Record {
	return oracle.Record{Connection: connection, ID: id(position, mark), Event: "link", Data: dataOf(link(n))}
}

func reset(connection, position int, mark, reason string) oracle.Record {
	return oracle.Record{Connection: connection, ID: id(position, mark), Event: "stream.reset", Data: `{"reason":"` + reason + `"}`}
}

func end(connection, position int) oracle.Record {
	return oracle.Record{Connection: connection, ID: id(position, "CHECK.end"), Event: "stream.end", Data: `{"code":0}`}
}

// good is a transcript in which all went as promised: a call that was cut, resumed, lost, restarted and read to its
// end.
//
//	0 open 100   1 link 1   2 link 2   cut
//	3 open 102   4 waiting  5 link 3   6 bookmark 103   cut
//	7 open 103, not resumed   8 reset 200, another run   9 link 1   10 link 2   11 reset 203   12 link 1   13 end
func good() *oracle.Transcript {
	return &oracle.Transcript{
		Records: []oracle.Record{
			open(0, id(100, runA), false), event(0, 101, runA, 1), event(0, 102, runA, 2),
			open(1, id(102, runA), true),
			{Connection: 1, Event: "stream.waiting", Data: "{}"},
			event(1, 103, runA, 3),
			{Connection: 1, ID: id(103, runA), Event: "stream.bookmark", Data: "{}"},
			open(2, id(103, runA), false), reset(2, 200, runB, "unknown_cursor"), event(2, 201, runB, 1), event(2, 202, runB, 2),
			reset(2, 203, runB, "upstream_restarted"), event(2, 204, runB, 1), end(2, 205),
		},
		Connections: []oracle.Connection{
			{Status: 200, Err: errors.New("cut")},
			{Status: 200, Presented: id(102, runA)},
			{Status: 200, Presented: id(103, runA)},
			{Presented: id(205, "CHECK.end"), Err: errors.New("refused")},
			{Status: 204, Presented: id(205, "CHECK.end")},
		},
	}
}

func TestGoodTranscript(t *testing.T) {
	t.Parallel()
	if err := oracle.Check(good(), "s", true); err != nil {
		t.Error(err)
	}
	if err := oracle.Identical(good(), good()); err != nil {
		t.Error(err)
	}
}

// TestPlantedFaults plants one fault in each copy of the good transcript. Each case lists every promise that the fault
// breaks: the validator that is there for it, and those that cannot help seeing it, too.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	changed := func(l oracle.Link, change func(*oracle.Link)) string {
		change(&l)
		return dataOf(l)
	}
	rehashed := func(l oracle.Link, change func(*oracle.Link)) string {
		change(&l)
		l.Hash = l.Sum()
		return dataOf(l)
	}
	tests := []struct {
		name  string
		plant func(*oracle.Transcript)
		want  []string
	}{
		{"an event lost in the middle", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 9, 10) }, []string{"contiguous"}},
		{"the first event lost", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 1, 2) }, []string{"contiguous"}},
		{"an event lost over a resume", func(t *oracle.Transcript) {
			t.Records[5] = event(1, 104, runA, 4)
			t.Records[6].ID, t.Records[7].ID = id(104, runA), id(104, runA)
			t.Connections[2].Presented = id(104, runA)
		}, []string{"contiguous", "chain"}},
		{"an event lost, its position not", func(t *oracle.Transcript) { t.Records[5].Data = dataOf(link(4)) }, []string{"chain"}},
		{"the last event before the end lost", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 12, 13) }, []string{"contiguous"}},
		{"an event twice", func(t *oracle.Transcript) {
			t.Records = slices.Insert(t.Records, 4, t.Records[2])
			t.Records[4].Connection = 1
		}, []string{"rising", "unique", "contiguous", "chain"}},
		{"an event twice under two ids", func(t *oracle.Transcript) { t.Records[5].Data = dataOf(link(2)) }, []string{"chain"}},
		{"an id twice", func(t *oracle.Transcript) { t.Records[5].ID = id(102, runA) }, []string{"rising", "unique", "contiguous"}},
		{"two events swapped", func(t *oracle.Transcript) {
			t.Records[9], t.Records[10] = t.Records[10], t.Records[9]
		}, []string{"rising", "contiguous", "chain"}},
		{"data of two events swapped", func(t *oracle.Transcript) {
			t.Records[1].Data, t.Records[2].Data = t.Records[2].Data, t.Records[1].Data
		}, []string{"chain"}},
		{"positions start over after a restart", func(t *oracle.Transcript) {
			t.Records[8].ID, t.Records[9].ID, t.Records[10].ID = id(1, runB), id(2, runB), id(3, runB)
			t.Records[11].ID, t.Records[12].ID, t.Records[13].ID = id(4, runB), id(5, runB), id(6, "CHECK.end")
		}, []string{"rising"}},
		{"a reader's frame goes back", func(t *oracle.Transcript) { t.Records[6].ID = id(99, runA); t.Records[7].ID = id(103, runA) }, []string{"rising"}},
		{"a byte changed", func(t *oracle.Transcript) {
			t.Records[2].Data = changed(link(2), func(l *oracle.Link) { l.Payload = "Payload 2" })
		}, []string{"chain"}},
		{"a link of another history", func(t *oracle.Transcript) {
			t.Records[2].Data = rehashed(link(2), func(l *oracle.Link) { l.Prev = strings.Repeat("0", 64) })
		}, []string{"chain"}},
		{"another first link", func(t *oracle.Transcript) {
			t.Records[12].Data = rehashed(link(1), func(l *oracle.Link) { l.Prev = strings.Repeat("0", 64) })
		}, []string{"chain"}},
		{"data that is no link", func(t *oracle.Transcript) { t.Records[12].Data = `{"n":"x"}` }, []string{"chain"}},
		{"another's event", func(t *oracle.Transcript) {
			l := oracle.Link{Stream: "other", N: 3}
			l.Hash = l.Sum()
			t.Records[5].Data = dataOf(l)
		}, []string{"isolated"}},
		{"a restart without a reset", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 8, 9) }, []string{"announced", "chain"}},
		{"a restart in one run without a reset", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 11, 12) }, []string{"contiguous", "chain"}},
		{"no end", func(t *oracle.Transcript) { t.Records = t.Records[:13] }, []string{"terminal"}},
		{"two ends", func(t *oracle.Transcript) { t.Records = append(t.Records, end(2, 206)) }, []string{"terminal"}},
		{"an event after the end", func(t *oracle.Transcript) { t.Records = append(t.Records, event(2, 206, "xxxxxxxxxxxxx001", 2)) }, []string{"terminal"}},
		{"a stream after the end", func(t *oracle.Transcript) { t.Connections[4].Status = 200 }, []string{"terminal"}},
		{"no open", func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 3, 4) }, []string{"opened"}},
		{"open twice", func(t *oracle.Transcript) { t.Records = slices.Insert(t.Records, 4, t.Records[3]) }, []string{"opened"}},
		{"busy, and then more", func(t *oracle.Transcript) {
			t.Records[3] = oracle.Record{Connection: 1, Event: "stream.busy", Data: "{}"}
		}, []string{"opened"}},
		{"opened elsewhere", func(t *oracle.Transcript) { t.Connections[1].Presented = id(101, runA) }, []string{"opened"}},
		{"a carriage return", func(t *oracle.Transcript) { t.Connections[0].Oddities = []string{"a carriage return"} }, []string{"well-formed"}},
		{"no id", func(t *oracle.Transcript) { t.Records[13].ID = "" }, []string{"well-formed"}},
		{"an id without a mark", func(t *oracle.Transcript) { t.Records[12].ID = "204" }, []string{"well-formed", "contiguous"}},
		{"an id with a zero in front", func(t *oracle.Transcript) { t.Records[4].ID = "0103." + runA }, []string{"well-formed"}},
		{"an id beyond 2^53", func(t *oracle.Transcript) { t.Records[13].ID = "9007199254740992.CHECK.end" }, []string{"well-formed"}},
		{"an id too long", func(t *oracle.Transcript) { t.Records[4].ID = "103." + runA + "~c" + strings.Repeat("x", 128) }, []string{"well-formed"}},
		{"an event with the id of an end", func(t *oracle.Transcript) { t.Records[12].ID = id(204, "CHECK.end") }, []string{"well-formed"}},
		{"an end with the id of an event", func(t *oracle.Transcript) { t.Records[13].ID = id(205, runB) }, []string{"well-formed"}},
		{"an end with half a check", func(t *oracle.Transcript) { t.Records[13].ID = id(205, "CH.end") }, []string{"well-formed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			transcript := good()
			test.plant(transcript)
			got := promises(oracle.Check(transcript, "s", true))
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("broken promises (-want +got):\n%s", diff)
			}
		})
	}
}

// promises are the promises that err says were broken, sorted, each once.
func promises(err error) []string {
	var found []string
	var walk func(error)
	walk = func(err error) {
		if v, ok := err.(*oracle.ViolationError); ok { //nolint:errorlint // walks the tree itself
			found = append(found, v.Promise)
		} else if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range many.Unwrap() {
				walk(err)
			}
		}
	}
	walk(err)
	slices.Sort(found)
	return slices.Compact(found)
}

func TestIdentical(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*oracle.Record){
		"data": func(r *oracle.Record) { r.Data += " " }, "type": func(r *oracle.Record) { r.Event = "other" },
	} {
		other := good()
		change(&other.Records[2])
		if got := promises(oracle.Identical(good(), other)); !slices.Equal(got, []string{"identical"}) {
			t.Errorf("%s of a replay differs: %v, want identical", name, got)
		}
	}
	// A reader's frames may have an event's id.
	other := good()
	other.Records[2] = reset(0, 102, runA, "expired")
	if err := oracle.Identical(good(), other); err != nil {
		t.Error(err)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	whole := func() *oracle.Transcript {
		ok := end(1, 104)
		ok.Data = `{"code":0,"status":"OK"}`
		return &oracle.Transcript{
			Records: []oracle.Record{
				open(0, id(100, runA), false), event(0, 101, runA, 1), event(0, 102, runA, 2),
				open(1, id(102, runA), true), event(1, 103, runA, 3), ok,
			},
			Connections: []oracle.Connection{{Status: 200}, {Status: 200, Presented: id(102, runA)}, {Status: 204}},
		}
	}
	if err := oracle.Complete(whole(), 1, 3); err != nil {
		t.Error(err)
	}
	for name, plant := range map[string]func(*oracle.Transcript){
		"the first lost": func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 1, 2) },
		"one lost":       func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 2, 3) },
		"the last lost":  func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 4, 5) },
		"one twice":      func(t *oracle.Transcript) { t.Records = slices.Insert(t.Records, 4, t.Records[2]) },
		"one more":       func(t *oracle.Transcript) { t.Records = slices.Insert(t.Records, 5, event(1, 104, runA, 4)) },
		"no link":        func(t *oracle.Transcript) { t.Records[1].Data = "{}" },
		"a reset":        func(t *oracle.Transcript) { t.Records[3] = reset(1, 102, runA, "expired") },
		"a failure":      func(t *oracle.Transcript) { t.Records[5].Data = `{"code":14}` },
	} {
		transcript := whole()
		plant(transcript)
		if got := promises(oracle.Complete(transcript, 1, 3)); !slices.Equal(got, []string{"complete"}) {
			t.Errorf("%s: %v, want complete", name, got)
		}
	}
}

// The oracle is worth nothing if it shares the bridge's mistakes.
func TestIsIndependent(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if strings.Contains(spec.Path.Value, ".") {
				t.Errorf("%s imports %s: only the standard library may be", name, spec.Path.Value)
			}
		}
	}
}

// A reset that says how much is missing is believed only where the positions say the same.
func TestAnnounced(t *testing.T) {
	t.Parallel()
	for missed, want := range map[int][]string{3: nil, 2: {"announced"}, 4: {"announced"}} {
		gap := reset(1, 104, runA, "expired")
		gap.Data = fmt.Sprintf(`{"reason":"expired","missed":%d}`, missed)
		transcript := &oracle.Transcript{
			Records:     []oracle.Record{open(0, id(100, runA), false), event(0, 101, runA, 1), open(1, id(101, runA), false), gap, event(1, 105, runA, 5), end(1, 106)},
			Connections: []oracle.Connection{{Status: 200}, {Status: 200, Presented: id(101, runA)}, {Status: 204}},
		}
		if got := promises(oracle.Check(transcript, "s", true)); !slices.Equal(got, want) {
			t.Errorf("%d missed: %v, want %v", missed, got, want)
		}
	}
}

// A request that is turned away gets stream.busy and nothing else, and one that is open may end with it.
func TestBusy(t *testing.T) {
	t.Parallel()
	busy := func(connection int) oracle.Record {
		return oracle.Record{Connection: connection, Event: "stream.busy", Data: `{"reason":"overload"}`}
	}
	transcript := &oracle.Transcript{
		Records:     []oracle.Record{busy(0), open(1, id(100, runA), false), event(1, 101, runA, 1), busy(1), busy(2), open(3, id(101, runA), true), end(3, 102)},
		Connections: []oracle.Connection{{Status: 200}, {Status: 200}, {Status: 200, Presented: id(101, runA)}, {Status: 200, Presented: id(101, runA)}, {Status: 204}},
	}
	if err := oracle.Check(transcript, "s", true); err != nil {
		t.Error(err)
	}
}

// What follows a cursor that was not known is another run's, even where it is only an end.
func TestUnknownCursorAndAnEnd(t *testing.T) {
	t.Parallel()
	transcript := &oracle.Transcript{
		Records:     []oracle.Record{open(0, id(100, runA), false), event(0, 101, runA, 1), open(1, id(101, runA), false), end(1, 500)},
		Connections: []oracle.Connection{{Status: 200}, {Status: 200, Presented: id(101, runA)}, {Status: 204}},
	}
	if err := oracle.Check(transcript, "s", true); err != nil {
		t.Error(err)
	}
	transcript.Records[2].Data = `{"resumed":true}`
	if got := promises(oracle.Check(transcript, "s", true)); !slices.Equal(got, []string{"contiguous"}) {
		t.Errorf("after a resume: %v, want contiguous", got)
	}
}
