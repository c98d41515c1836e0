package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/report"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The committed documents are those that the committed results give. When this fails: make bench-report.
func TestCommitted(t *testing.T) {
	stale, err := report.Stale("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s is stale", name)
	}
}

func row(target, metric string, values ...float64) result.Row {
	return result.Row{Scenario: "fan-out", Target: target, Metric: metric, Unit: "µs", Better: result.Lower, Values: values}
}

func sample() *result.Run {
	ours, relative, notMeasured := row("grpc-sse", "CPU", 8, 7, 9), row("grpc-sse", "p99", 100), row("kernel", "CPU")
	ours.Budget = 8.5
	relative.Relative = &result.Relative{Target: "nchan", Times: 0.5}
	relative.Note = "fewer readers"
	notMeasured.Note = "no <kernel>"
	return &result.Run{
		Date: "2026-03-01", Machine: "2 × A & B", Version: "abc", Kind: result.Full,
		Scenarios: []result.Scenario{
			{Name: "fan-out", Title: "One & many: 1,000 <readers>", About: "Counted is CPU."},
			{Name: "never-run", Title: "Never run"},
		},
		Rows: []result.Row{
			ours, row("nchan", "CPU", 12.5, 12, 13), row("kernel-join", "CPU", 400), notMeasured,
			relative, row("nchan", "p99", 150),
		},
	}
}

// clone is a folder with results.
func clone(t *testing.T, runs ...*result.Run) string {
	root := t.TempDir()
	for _, run := range runs {
		if _, err := result.Save(filepath.Join(root, report.Results), run); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func files(t *testing.T, runs ...*result.Run) map[string][]byte {
	t.Helper()
	made, err := report.Files(clone(t, runs...))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestDocument(t *testing.T) {
	made := files(t, sample())
	var names []string
	for name := range made {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"docs/performance.md", "docs/performance/fan-out.svg"}, names); diff != "" {
		t.Fatal(diff)
	}
	text := string(made["docs/performance.md"])
	for _, want := range []string{
		"2 × A & B", "2026-03-01", "`abc`", "Counted is CPU.",
		"](performance/fan-out.svg)",
		"(#one--many-1000-readers): CPU | **8 µs** | 12.5 | – | – | – | ≤ 8.5 µs | met |",                      // the summary
		"CPU ≤ 8.5 µs: met, with 8 µs; p99 ≤ 75 µs (1/2 of nchan): **missed**, with 100 µs.",                   // the verdicts
		"| **grpc-sse** | **8 (7–9)** |  | **100** |\n| nchan | 12.5 (12–13) | 1.6× | 150 |", "| kernel | – |", // the table
		"grpc-sse: fewer readers.", "kernel: no <kernel>.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("has no %q", want)
		}
	}
	if strings.Contains(text, "Never run") || strings.Contains(text, "Parts by themselves") {
		t.Error("has a section about what was not measured")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// A chart is well-formed, whatever stands in names, and says what the table says.
func TestChart(t *testing.T) {
	chart := files(t, sample())["docs/performance/fan-out.svg"]
	var said []string
	for decoder := xml.NewDecoder(strings.NewReader(string(chart))); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, chart)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			said = append(said, strings.TrimSpace(string(text)))
		}
	}
	for _, want := range []string{
		"One & many: 1,000 <readers>", "8 µs", "7–9", "12.5 µs", "1.6×", "400 µs", "not measured", "budget ≤ 8.5 µs", "budget ≤ 75 µs",
		"median of 3 rounds, line: least to most · 2026-03-01 · 2 × A & B",
	} {
		if !slices.Contains(said, want) {
			t.Errorf("has no text %q: %q", want, said)
		}
	}
	if got := strings.Count(string(chart), `class="cut"`); got != 1 { // 400 µs would make all others dots
		t.Errorf("%d bars are cut, want 1", got)
	}
}

// Documents that were changed by hand, are missing or are left over are found, and Write makes them right.
func TestStale(t *testing.T) {
	root := clone(t, sample())
	chart, leftOver := "docs/performance/fan-out.svg", "docs/performance/gone.svg"
	if err := os.MkdirAll(filepath.Join(root, "docs/performance"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{chart, leftOver} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("by hand"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stale, err := report.Stale(root)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(stale)
	if diff := cmp.Diff([]string{"docs/performance.md", chart, leftOver}, stale); diff != "" {
		t.Error(diff)
	}
	if err := report.Write(root); err != nil {
		t.Fatal(err)
	}
	if stale, err := report.Stale(root); err != nil || len(stale) > 0 {
		t.Errorf("after Write: %q, %v", stale, err)
	}
	if _, err := os.Stat(filepath.Join(root, leftOver)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", leftOver, err)
	}
}

func TestNothingMeasured(t *testing.T) {
	if _, err := report.Files(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without results: %v", err)
	}
}

const benchmarks = `goos: linux
pkg: github.com/grpc-sse/grpc-sse/internal/transcode/render
BenchmarkRender/small/program-2   	 1000	     100 ns/op	  54.86 MB/s	       0 B/op	       0 allocs/op
BenchmarkRender/small/program-2   	 1000	     120 ns/op	  54.86 MB/s	       0 B/op	       0 allocs/op
BenchmarkRender/small/program-2   	 1000	     110 ns/op	  54.86 MB/s	       0 B/op	       0 allocs/op
BenchmarkRender/small/generated-2 	 1000	     880 ns/op	  54.94 MB/s	     624 B/op	      14 allocs/op
BenchmarkRender/small/dynamic-2 	 1000	     1500 ns/op	  54.94 MB/s	     624 B/op	      28 allocs/op
PASS
ok  	github.com/grpc-sse/grpc-sse/internal/transcode/render	0.997s
pkg: github.com/grpc-sse/grpc-sse/internal/e2e/ingest
BenchmarkIngest/RecvMsg           	       1	       338.0 B/msg	         4.022 allocs/msg	       400.7 cpu-ns/msg	      4050 ns/msg
BenchmarkIngest/log/shared/unread 	       1	       338.0 B/msg	         4.022 allocs/msg	       600.7 cpu-ns/msg	      4050 ns/msg
pkg: github.com/grpc-sse/grpc-sse/internal/sse
BenchmarkAppendFrame/line-2 	  100	    21000 ns/op	  1 B/op	       2 allocs/op
`

func TestMicro(t *testing.T) {
	run := sample()
	run.Kind, run.Scenarios, run.Rows = result.Micro, nil, nil
	if err := report.AddMicro(run, strings.NewReader(benchmarks)); err != nil {
		t.Fatal(err)
	}
	program := run.Find("transcode-small", "grpc-sse", "time per message")
	if diff := cmp.Diff([]float64{100, 120, 110}, program.Values); diff != "" {
		t.Error(diff)
	}
	// Of 880/8 and 1500/15 the stricter counts.
	if budget, _ := run.Budget(program); budget != 100 {
		t.Errorf("the budget is %v, want 100", budget)
	}
	if met, ok := run.Met(run.Find("ingest", "grpc-sse to the log", "CPU per message")); !met || !ok {
		t.Errorf("the budget of ingest: %v %v", met, ok)
	}
	text := string(files(t, sample(), run)["docs/performance.md"])
	for _, want := range []string{
		"### Protobuf to JSON, small message", "| generated + protojson | 880 | 8.0× | 14 |",
		"≤ 100 ns (1/8 of generated + protojson, 1/15 of dynamic + protojson): **missed**, with 110 ns.",
		"| `internal/sse` | AppendFrame/line | 21 µs | 1 | 2 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("has no %q:\n%s", want, text)
		}
	}
}

func TestShow(t *testing.T) {
	var out strings.Builder
	if err := report.Show(&out, sample()); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"CPU grpc-sse 8 µs 7–9 ≤ 8.5 µs: met nchan 12.5 µs 12–13 1.6×", "p99 grpc-sse 100 µs ≤ 75 µs: missed fewer readers nchan 150 µs 1.5×",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("has no %q:\n%s", want, out.String())
		}
	}
}
