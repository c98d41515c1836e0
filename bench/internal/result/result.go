// Package result is what a run of the benchmark found: rows of figures, kept as JSON by date, and what is computed from
// them.
package result

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Kind says what a run was for. It is the end of its file's name.
type Kind string

// What runs are for.
const (
	Full  Kind = "full"  // every scenario at its real size: what docs/performance.md shows
	Short Kind = "short" // smaller, in minutes: to see whether something works
	Micro Kind = "micro" // Go benchmarks of single packages
)

// Run is what one command found.
type Run struct {
	Date    string `json:"date"`    // YYYY-MM-DD
	Machine string `json:"machine"` // see Machine
	Version string `json:"version"` // the commit that was measured
	Kind    Kind   `json:"kind"`
	// Scenarios are in the order in which documents show them.
	Scenarios []Scenario `json:"scenarios,omitempty"`
	Rows      []Row      `json:"rows"`
}

// Scenario is what a document says about one scenario.
type Scenario struct {
	Name  string `json:"name"`  // also a file's name: a-z, 0-9 and -
	Title string `json:"title"` // without the figure: "One stream, 10,000 readers"
	About string `json:"about"` // what is done and what is counted, in a few sentences
}

// Better says which of two values of a metric is the better one.
type Better string

// Of two costs the lower is better, of two rates the higher.
const (
	Lower  Better = "lower"
	Higher Better = "higher"
)

// Row is one metric of one target in one scenario.
type Row struct {
	Scenario string    `json:"scenario"`
	Target   string    `json:"target"`
	Metric   string    `json:"metric"` // "CPU per delivery"
	Unit     string    `json:"unit"`   // "µs"
	Better   Better    `json:"better"`
	Values   []float64 `json:"values"` // one of each round, in order; none: it could not be measured, and Note says why
	// Budget is what the median has to reach, 0 for none.
	Budget float64 `json:"budget,omitempty"`
	// Relative, when set, makes the budget from another target's figure of the same run.
	Relative *Relative `json:"relative,omitempty"`
	// Also, when set, is another like it; the stricter of the two counts.
	Also *Relative `json:"also,omitempty"`
	Note string    `json:"note,omitempty"`
}

// Relative is a budget that depends on another target: Times its median of the same metric, in the same scenario or the
// one that Scenario names.
type Relative struct {
	Target   string  `json:"target"`
	Scenario string  `json:"scenario,omitempty"` // default: the row's own
	Metric   string  `json:"metric,omitempty"`   // default: the row's own
	Times    float64 `json:"times"`
}

// Median is the middle of the values, NaN when there are none.
func (r Row) Median() float64 {
	if len(r.Values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(r.Values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Spread is the smallest and the largest value, NaN when there are none.
func (r Row) Spread() (least, most float64) {
	if len(r.Values) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(r.Values), slices.Max(r.Values)
}

// Find returns the row of a metric, or one without values.
func (r *Run) Find(scenario, target, metric string) Row {
	for _, row := range r.Rows {
		if row.Scenario == scenario && row.Target == target && row.Metric == metric {
			return row
		}
	}
	return Row{Scenario: scenario, Target: target, Metric: metric}
}

// Budget is what the row's median has to reach in this run; ok is false when it has no budget, or one that depends on a
// target that was not measured.
func (r *Run) Budget(row Row) (budget float64, ok bool) {
	budget, ok = row.Budget, row.Budget != 0
	for _, relative := range []*Relative{row.Relative, row.Also} {
		if relative == nil {
			continue
		}
		other := r.Find(cmp.Or(relative.Scenario, row.Scenario), relative.Target, cmp.Or(relative.Metric, row.Metric))
		limit := other.Median() * relative.Times
		stricter := limit < budget
		if row.Better == Higher {
			stricter = limit > budget
		}
		if !math.IsNaN(limit) && (!ok || stricter) {
			budget, ok = limit, true
		}
	}
	return budget, ok
}

// Met says whether the row's median reaches its budget; ok is false when nothing can be said.
func (r *Run) Met(row Row) (met, ok bool) {
	budget, ok := r.Budget(row)
	median := row.Median()
	if !ok || math.IsNaN(median) {
		return false, false
	}
	if row.Better == Higher {
		return median >= budget, true
	}
	return median <= budget, true
}

// Add puts what a later run of the same day found into the run: its rows replace all rows that a program has in a scenario.
func (r *Run) Add(later *Run) {
	type measured struct{ scenario, target string }
	replaced := make(map[measured]bool)
	for _, row := range later.Rows {
		replaced[measured{row.Scenario, row.Target}] = true
	}
	r.Rows = slices.DeleteFunc(r.Rows, func(row Row) bool { return replaced[measured{row.Scenario, row.Target}] })
	r.Rows = append(r.Rows, later.Rows...)
	for _, scenario := range later.Scenarios {
		i := slices.IndexFunc(r.Scenarios, func(s Scenario) bool { return s.Name == scenario.Name })
		if i < 0 {
			r.Scenarios = append(r.Scenarios, scenario)
		} else {
			r.Scenarios[i] = scenario
		}
	}
}

// File is the name of the file that the run belongs into.
func (r *Run) File() string { return r.Date + "-" + string(r.Kind) + ".json" }

// Load reads a file that Save wrote.
func Load(file string) (*Run, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	run := new(Run)
	if err := json.Unmarshal(text, run); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if _, err := time.Parse(time.DateOnly, run.Date); err != nil {
		return nil, fmt.Errorf("%s: date: %w", file, err)
	}
	return run, nil
}

// Newest reads the newest run of a kind in dir. Without one the error is fs.ErrNotExist.
func Newest(dir string, kind Kind) (*Run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*-"+string(kind)+".json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no %s run: %w", dir, kind, fs.ErrNotExist)
	}
	return Load(slices.Max(files)) // names begin with the date
}

// Save writes the run into dir, which it makes, and returns the file's name. When the day's file is there and is of the
// same machine and commit, the run is added to it: so a scenario can be measured again by itself. Else it is replaced.
func Save(dir string, run *Run) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody to read
		return "", err
	}
	file := filepath.Join(dir, run.File())
	switch before, err := Load(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case before.Machine == run.Machine && before.Version == run.Version:
		before.Add(run)
		run = before
	}
	text, err := encode(run)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return file, os.WriteFile(file, text, 0o644) //nolint:gosec // as above
}
