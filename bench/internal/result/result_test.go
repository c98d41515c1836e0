package result_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		values              []float64
		median, least, most float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{9, 1, 4}, 4, 1, 9},
		{[]float64{9, 1, 4, 5}, 4.5, 1, 9},
	} {
		row := result.Row{Values: c.values}
		least, most := row.Spread()
		if row.Median() != c.median || least != c.least || most != c.most {
			t.Errorf("%v: median %v, spread %v–%v, want %v, %v–%v", c.values, row.Median(), least, most, c.median, c.least, c.most)
		}
	}
	if m := (result.Row{}).Median(); !math.IsNaN(m) {
		t.Errorf("the median of nothing is %v", m)
	}
}

func TestMet(t *testing.T) {
	run := &result.Run{Rows: []result.Row{
		{Scenario: "s", Target: "rival", Metric: "rate", Values: []float64{100}},
		{Scenario: "one", Target: "rival", Metric: "cost", Values: []float64{10}},
	}}
	row := func(better result.Better, value, budget float64) result.Row {
		return result.Row{Scenario: "s", Target: "us", Metric: "rate", Better: better, Values: []float64{value}, Budget: budget}
	}
	relative := func(value float64, to result.Relative) result.Row {
		r := row(result.Higher, value, 0)
		r.Relative = &to
		return r
	}
	both := func(value, times, also float64) result.Row {
		r := relative(value, result.Relative{Target: "rival", Times: times})
		r.Also = &result.Relative{Target: "rival", Times: also}
		return r
	}
	for name, c := range map[string]struct {
		row     result.Row
		met, ok bool
	}{
		"lower, below":         {row(result.Lower, 8, 8.5), true, true},
		"lower, at":            {row(result.Lower, 8.5, 8.5), true, true},
		"lower, above":         {row(result.Lower, 9, 8.5), false, true},
		"higher, above":        {row(result.Higher, 9, 8.5), true, true},
		"higher, below":        {row(result.Higher, 8, 8.5), false, true},
		"no budget":            {row(result.Lower, 8, 0), false, false},
		"no value":             {result.Row{Budget: 1}, false, false},
		"relative, reached":    {relative(150, result.Relative{Target: "rival", Times: 1.5}), true, true},
		"relative, missed":     {relative(149, result.Relative{Target: "rival", Times: 1.5}), false, true},
		"elsewhere, reached":   {relative(15, result.Relative{Target: "rival", Scenario: "one", Metric: "cost", Times: 1.5}), true, true},
		"the stricter, missed": {both(160, 1, 2), false, true},
		"the other, missed":    {both(160, 2, 1), false, true},
		"both, reached":        {both(200, 1, 2), true, true},
		"rival not measured":   {relative(150, result.Relative{Target: "absent", Times: 1.5}), false, false},
	} {
		if met, ok := run.Met(c.row); met != c.met || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", name, met, ok, c.met, c.ok)
		}
	}
}

func sample() *result.Run {
	return &result.Run{
		Date: "2026-03-01", Machine: "2 × Processor", Version: "abc", Kind: result.Full,
		Scenarios: []result.Scenario{{Name: "fanout", Title: "Fan-out <10k>", About: "All."}, {Name: "storm"}},
		Rows: []result.Row{
			{Scenario: "fanout", Target: "grpc-sse", Metric: "CPU", Unit: "µs", Better: result.Lower, Values: []float64{1.5, 2}, Budget: 2},
			{Scenario: "storm", Target: "nchan", Metric: "time", Unit: "s", Better: result.Lower, Note: "not installed"},
		},
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	file, err := result.Save(dir, sample())
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "2026-03-01-full.json"); file != want {
		t.Errorf("saved as %s, want %s", file, want)
	}
	got, err := result.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("what was loaded differs from what was saved:\n%s", diff)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := `    {"name":"fanout","title":"Fan-out <10k>","about":"All."},` + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("%s\nhas no line %s", text, want)
	}
}

// What is measured again replaces what the program had in the scenario and leaves the rest; with other code nothing of before
// remains.
func TestSaveAgain(t *testing.T) {
	again := &result.Run{
		Date: "2026-03-01", Machine: "2 × Processor", Version: "abc", Kind: result.Full,
		Scenarios: []result.Scenario{{Name: "storm", Title: "Storm"}, {Name: "idle"}},
		Rows: []result.Row{
			{Scenario: "fanout", Target: "grpc-sse", Metric: "p99"}, {Scenario: "storm", Target: "grpc-sse", Metric: "time"},
		},
	}
	otherCode := &result.Run{Date: "2026-03-01", Machine: "2 × Processor", Version: "def", Kind: result.Full, Rows: again.Rows}
	merged := sample()
	merged.Scenarios = []result.Scenario{merged.Scenarios[0], again.Scenarios[0], again.Scenarios[1]}
	merged.Rows = []result.Row{merged.Rows[1], again.Rows[0], again.Rows[1]} // what nchan had in the storm stays
	for name, c := range map[string]struct{ later, want *result.Run }{
		"the same code": {again, merged},
		"other code":    {otherCode, otherCode},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, run := range []*result.Run{sample(), c.later} {
				if _, err := result.Save(dir, run); err != nil {
					t.Fatal(err)
				}
			}
			got, err := result.Newest(dir, result.Full)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	if _, err := result.Newest(dir, result.Full); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in an empty folder: %v", err)
	}
	for _, date := range []string{"2026-03-09", "2026-11-01", "2026-03-10"} {
		for _, kind := range []result.Kind{result.Full, result.Micro} {
			run := sample()
			run.Date, run.Kind = date, kind
			if _, err := result.Save(dir, run); err != nil {
				t.Fatal(err)
			}
		}
	}
	run, err := result.Newest(dir, result.Full)
	if err != nil {
		t.Fatal(err)
	}
	if run.Date != "2026-11-01" || run.Kind != result.Full {
		t.Errorf("got %s %s", run.Date, run.Kind)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "x", "no date": `{"rows":[]}`, "another date": `{"date":"01.02.2026"}`} {
		file := filepath.Join(t.TempDir(), "x-full.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if run, err := result.Load(file); err == nil {
			t.Errorf("%s: loaded %+v", name, run)
		}
	}
}

// A machine is described so that others can compare, and so that nobody learns whose it is.
func TestMachine(t *testing.T) {
	machine := result.Machine()
	t.Log(machine)
	if host, err := os.Hostname(); err == nil && len(host) > 3 && strings.Contains(machine, host) {
		t.Errorf("%q contains the host's name", machine)
	}
	if !strings.Contains(machine, "Go 1.") {
		t.Errorf("%q does not say with which Go", machine)
	}
}
