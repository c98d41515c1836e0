package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// Show prints a run for people: medians, how far the rounds spread, how targets relate to the bridge, and budgets.
func Show(out io.Writer, run *result.Run) error {
	fmt.Fprintf(out, "\n%s, commit %s, %s\n", run.Machine, run.Version, run.Date)
	for _, scenario := range run.Scenarios {
		v := newView(run, scenario)
		if v.rounds() == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", v.Name, v.Title)
		lines := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.StripEscape)
		for _, metric := range v.metrics {
			for i, row := range v.of(metric) {
				name := metric
				if i > 0 {
					name = ""
				}
				ratio := ""
				if !isOurs(row.Target) {
					ratio = times(row.Median(), v.reference(metric))
				}
				fmt.Fprintf(lines, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n",
					name, row.Target, withUnit(row.Median(), row.Unit), spread(row), ratio, budgetOf(run, row), row.Note)
			}
		}
		if err := lines.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// budgetOf says what a row has to reach, and whether it does.
func budgetOf(run *result.Run, row result.Row) string {
	met, ok := run.Met(row)
	if !ok {
		return ""
	}
	limit, _ := run.Budget(row)
	said := "missed"
	if met {
		said = "met"
	}
	return fmt.Sprintf("%s %s: %s", sign(row.Better), withUnit(limit, row.Unit), said)
}
