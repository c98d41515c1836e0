package report

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// module is the beginning of packages' paths that are measured.
const module = "github.com/grpc-sse/grpc-sse/"

// AddMicro adds what `go test -bench` wrote to a run. Benchmarks that comparisons names become rows of scenarios, with
// budgets; the others rows of their package.
func AddMicro(run *result.Run, output io.Reader) error {
	var pkg string
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if path, ok := strings.CutPrefix(lines.Text(), "pkg: "); ok {
			pkg = strings.TrimPrefix(path, module)
		}
		name, values, err := benchmark(lines.Text())
		if err != nil {
			return err
		}
		for _, v := range values {
			add(run, rowOf(run, pkg, name, v.unit), v.value)
		}
	}
	return lines.Err()
}

type measured struct {
	value float64
	unit  string
}

// suffix is GOMAXPROCS behind a benchmark's name.
var suffix = regexp.MustCompile(`-\d+$`)

// benchmark reads a line like "BenchmarkX/y-2  100  12 ns/op  0 allocs/op"; values is nil when it is another.
func benchmark(line string) (name string, values []measured, err error) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") || len(fields)%2 != 0 {
		return "", nil, nil
	}
	name = strings.TrimPrefix(suffix.ReplaceAllString(fields[0], ""), "Benchmark")
	for i := 2; i < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return "", nil, fmt.Errorf("%q: %w", line, err)
		}
		values = append(values, measured{value, fields[i+1]})
	}
	return name, values, nil
}

// add adds a value to the row of its kind, which may be new.
func add(run *result.Run, row result.Row, value float64) {
	i := slices.IndexFunc(run.Rows, func(r result.Row) bool {
		return r.Scenario == row.Scenario && r.Target == row.Target && r.Metric == row.Metric
	})
	if i < 0 {
		i = len(run.Rows)
		run.Rows = append(run.Rows, row)
	}
	run.Rows[i].Values = append(run.Rows[i].Values, value)
}

// comparison makes a scenario of a benchmark whose parts stand for each other.
type comparison struct {
	benchmark *regexp.Regexp // its first group, if any, is a part of the scenario's name; the last one chooses the target
	scenario  result.Scenario
	targets   map[string]string
	// columns are the metrics by Go's unit.
	columns map[string]result.Row
	// budgets are those of a metric for a target, by both names with a / between.
	budgets map[string]result.Row
}

const (
	generated = "generated + protojson"
	dynamic   = "dynamic + protojson"
	rawBytes  = "grpc-go, raw bytes"
)

var comparisons = []comparison{
	{
		benchmark: regexp.MustCompile(`^Render/(small|medium|large)/(\w+)$`),
		scenario: result.Scenario{
			Name: "transcode", Title: "Protobuf to JSON, %s message",
			About: "From wire bytes to JSON, in memory: the bridge's compiled program beside unmarshalling into a type and `protojson`.",
		},
		targets: map[string]string{"program": ours, "generated": generated, "dynamic": dynamic},
		columns: map[string]result.Row{
			"ns/op":     {Metric: "time per message", Unit: "ns", Better: result.Lower},
			"allocs/op": {Metric: "allocations per message", Better: result.Lower},
		},
		budgets: map[string]result.Row{
			ours + "/time per message": {
				Relative: &result.Relative{Target: generated, Times: 1. / 8}, Also: &result.Relative{Target: dynamic, Times: 1. / 15},
			},
		},
	},
	{
		benchmark: regexp.MustCompile(`^Ingest/()(.+)$`),
		scenario: result.Scenario{
			Name: "ingest", Title: "Taking a message in from a gRPC server",
			About: "One stream of 200-byte messages from a grpc-go server in a process of its own; counted is the receiving process's " +
				"time for each message. With the log: received, turned into a finished event and kept. Frames that arrive together are " +
				"handed to grpc-go as one, so that upstream is below what grpc-go takes by itself. The budget is 800 ns on a machine on " +
				"which that is 528 ns.",
		},
		targets: map[string]string{
			"RecvMsg": rawBytes, "generated": "grpc-go, generated type", "generated+protojson": "grpc-go + protojson",
			"upstream": ours + " upstream", "log/shared/unread": ours + " to the log",
		},
		columns: map[string]result.Row{
			"cpu-ns/msg": {Metric: "CPU per message", Unit: "ns", Better: result.Lower},
			"ns/msg":     {Metric: "time per message", Unit: "ns", Better: result.Lower},
			"allocs/msg": {Metric: "allocations per message", Better: result.Lower},
		},
		budgets: map[string]result.Row{ours + " to the log/CPU per message": {Relative: &result.Relative{Target: rawBytes, Times: 800. / 528}}},
	},
}

// rowOf is the row, without values, that a benchmark's value in a unit belongs to.
func rowOf(run *result.Run, pkg, name, unit string) result.Row {
	for _, c := range comparisons {
		parts := c.benchmark.FindStringSubmatch(name)
		if parts == nil || c.targets[parts[2]] == "" {
			continue
		}
		row, ok := c.columns[unit]
		if !ok {
			break
		}
		s := c.scenario
		if parts[1] != "" {
			s.Name += "-" + parts[1]
			s.Title = fmt.Sprintf(s.Title, parts[1])
		}
		if !slices.Contains(run.Scenarios, s) {
			run.Scenarios = append(run.Scenarios, s)
		}
		row.Scenario, row.Target = s.Name, c.targets[parts[2]]
		b := c.budgets[row.Target+"/"+row.Metric]
		row.Budget, row.Relative, row.Also = b.Budget, b.Relative, b.Also
		return row
	}
	return result.Row{Scenario: pkg, Target: name, Metric: unit, Unit: unit, Better: result.Lower}
}

// bench is what a page says about a benchmark that belongs to no scenario.
type bench struct{ Package, Name, Time, Bytes, Allocs string }

// rest are the rows of no scenario, one for each benchmark.
func rest(run *result.Run) []bench {
	var found []bench
	for _, row := range run.Rows {
		if slices.ContainsFunc(run.Scenarios, func(s result.Scenario) bool { return s.Name == row.Scenario }) {
			continue
		}
		i := slices.IndexFunc(found, func(b bench) bool { return b.Package == row.Scenario && b.Name == row.Target })
		if i < 0 {
			i = len(found)
			found = append(found, bench{Package: row.Scenario, Name: row.Target})
		}
		switch row.Metric {
		case "ns/op":
			found[i].Time = duration(row.Median())
		case "B/op":
			found[i].Bytes = figure(row.Median())
		case "allocs/op":
			found[i].Allocs = figure(row.Median())
		}
	}
	return slices.DeleteFunc(found, func(b bench) bool { return b.Time == "" || b.Time == "0 ns" })
}

// duration is a number of nanoseconds in a unit that suits it.
func duration(nanos float64) string {
	switch {
	case nanos >= 1e6:
		return withUnit(nanos/1e6, "ms")
	case nanos >= 1e4:
		return withUnit(nanos/1e3, "µs")
	default:
		return withUnit(nanos, "ns")
	}
}
