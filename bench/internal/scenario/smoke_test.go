package scenario_test

import (
	"math"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/bridge"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/scenario"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every scenario runs against the bridge, in small: its readers fail it when an event is missing, comes twice or out of
// order, or a response ends. Figures are looked at, but not judged.
func TestAllScenarios(t *testing.T) {
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	runner := scenario.Runner{
		Makers: []target.Maker{bridge.Maker()}, Size: scenario.Smoke(), Repeat: 2, Repo: repo, Dir: t.TempDir(), Out: t.Output(),
	}
	var run result.Run
	if err := runner.Run(t.Context(), &run); err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, row := range run.Rows {
		shown[row.Scenario] = true
		if row.Target != bridge.Name || row.Unit == "" || row.Better == "" || len(row.Values) != runner.Repeat {
			t.Errorf("a row is not whole: %+v", row)
		}
		for _, v := range row.Values {
			small := row.Unit == "KB" || row.Unit == "MB" // a process may also have become smaller
			if math.IsNaN(v) || math.IsInf(v, 0) || v <= 0 && !small {
				t.Errorf("%s, %s: %v %s", row.Scenario, row.Metric, v, row.Unit)
			}
		}
	}
	names := make(map[string]bool)
	for _, s := range run.Scenarios {
		if names[s.Name] || s.Title == "" || s.About == "" {
			t.Errorf("a scenario is not described, or has another's name: %+v", s)
		}
		names[s.Name] = true
		if !shown[s.Name] {
			t.Errorf("%s has no rows", s.Name)
		}
	}
}
