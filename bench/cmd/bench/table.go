package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// show prints the run's rows: medians, and how far the rounds spread.
func show(out io.Writer, run *result.Run) {
	fmt.Fprintf(out, "\n%s, %s, %s\n", run.Machine, run.Version, run.Date)
	for _, s := range run.Scenarios {
		fmt.Fprintf(out, "\n%s: %s\n", s.Name, s.Title)
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, row := range run.Rows {
			if row.Scenario != s.Name {
				continue
			}
			least, most := row.Spread()
			fmt.Fprintf(table, "  %s\t%s\t%s %s\t%s … %s\t%s\t%s\n",
				row.Metric, row.Target, figure(row.Median()), row.Unit, figure(least), figure(most), budget(run, row), row.Note)
		}
		table.Flush() //nolint:errcheck // text for people
	}
}

// budget says what a row has to reach, and whether it does.
func budget(run *result.Run, row result.Row) string {
	met, ok := run.Met(row)
	if !ok {
		return ""
	}
	limit, _ := run.Budget(row)
	sign := "≤"
	if row.Better == result.Higher {
		sign = "≥"
	}
	verdict := "MISSED"
	if met {
		verdict = "ok"
	}
	return fmt.Sprintf("%s %s %s", sign, figure(limit), verdict)
}

// figure is a number with three digits that mean something.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + "M"
	case a >= 1e4:
		return strconv.FormatFloat(v/1e3, 'f', 0, 64) + "k"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}
