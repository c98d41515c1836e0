package report

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// ours is the target that all others are compared with, and the beginning of its name where there are several ways.
const ours = "grpc-sse"

// isOurs says whether a target is the bridge.
func isOurs(target string) bool { return target == ours || strings.HasPrefix(target, ours+" ") }

// isLimit says whether a target is no server but what the kernel allows.
func isLimit(target string) bool { return target == "kernel" || strings.HasPrefix(target, "kernel-") }

// view is one scenario of a run.
type view struct {
	result.Scenario
	run     *result.Run
	rows    []result.Row
	metrics []string // in the order of the rows
	targets []string // likewise
}

func newView(run *result.Run, scenario result.Scenario) *view {
	v := &view{Scenario: scenario, run: run}
	for _, row := range run.Rows {
		if row.Scenario != scenario.Name {
			continue
		}
		v.rows = append(v.rows, row)
		if !slices.Contains(v.metrics, row.Metric) {
			v.metrics = append(v.metrics, row.Metric)
		}
		if !slices.Contains(v.targets, row.Target) {
			v.targets = append(v.targets, row.Target)
		}
	}
	// What has a budget stands first.
	slices.SortStableFunc(v.metrics, func(a, b string) int { return cmp.Compare(v.rank(a), v.rank(b)) })
	return v
}

func (v *view) rank(metric string) int {
	if _, _, ok := v.budget(metric); ok {
		return 0
	}
	return 1
}

// readable is a run with long times in greater units.
func readable(run *result.Run) *result.Run {
	const long = 10_000
	change := make(map[[2]string]bool) // by scenario and metric: all targets alike
	for _, row := range run.Rows {
		if row.Unit == "ns" && isOurs(row.Target) && row.Median() >= long {
			change[[2]string{row.Scenario, row.Metric}] = true
		}
	}
	changed := *run
	changed.Rows = slices.Clone(run.Rows)
	for i := range changed.Rows {
		row := &changed.Rows[i]
		if !change[[2]string{row.Scenario, row.Metric}] {
			continue
		}
		row.Unit, row.Budget, row.Values = "µs", row.Budget/1000, slices.Clone(row.Values)
		for j := range row.Values {
			row.Values[j] /= 1000
		}
	}
	return &changed
}

// of are the rows of one metric.
func (v *view) of(metric string) []result.Row {
	var rows []result.Row
	for _, row := range v.rows {
		if row.Metric == metric {
			rows = append(rows, row)
		}
	}
	return rows
}

// reference is our figure for a metric, NaN for none. Where there are several of ours it is the one with a budget.
func (v *view) reference(metric string) float64 {
	reference := math.NaN()
	for _, row := range v.of(metric) {
		_, budgeted := v.run.Budget(row)
		if isOurs(row.Target) && (math.IsNaN(reference) || budgeted) {
			reference = row.Median()
		}
	}
	return reference
}

// budget is the row of a metric that has a budget, and what that is.
func (v *view) budget(metric string) (row result.Row, budget float64, ok bool) {
	for _, row := range v.of(metric) {
		if budget, ok := v.run.Budget(row); ok {
			return row, budget, true
		}
	}
	return result.Row{}, 0, false
}

// mostPanels is how many metrics a chart shows.
const mostPanels = 3

// shown are the metrics that the scenario is about: those with a budget, else the first.
func (v *view) shown() []string {
	var shown []string
	for _, metric := range v.metrics {
		if _, _, ok := v.budget(metric); ok && len(shown) < mostPanels {
			shown = append(shown, metric)
		}
	}
	if shown == nil && len(v.metrics) > 0 {
		shown = v.metrics[:1]
	}
	return shown
}

// rounds is how many values the rows have, at most.
func (v *view) rounds() int {
	most := 0
	for _, row := range v.rows {
		most = max(most, len(row.Values))
	}
	return most
}

// sign stands before a budget.
func sign(b result.Better) string {
	if b == result.Higher {
		return "≥"
	}
	return "≤"
}
