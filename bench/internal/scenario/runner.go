// Package scenario is what is measured: experiments that start a target, put load on it and report figures.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// Experiment is one course of actions against a started target. It fills the rows of one scenario or more: those that
// build upon each other share a process.
type Experiment struct {
	Shows   []result.Scenario
	Needs   []target.Capability // all of them
	Options target.Options
	// Files is how many connections it opens at most.
	Files func(Size) int
	// Within is how long one round may take.
	Within time.Duration
	Run    func(context.Context, *Round) error
}

// Runner runs experiments.
type Runner struct {
	Makers    []target.Maker
	Scenarios *regexp.Regexp // nil: all
	Size      Size
	Repeat    int
	Repo      string    // the root of the project's clone
	Dir       string    // a folder for files
	Out       io.Writer // what happens, for people

	build target.Builder
	rows  []*result.Row
	files int
}

// spare is how many files a process has that are no connections. Besides, the bridge keeps a twentieth of its places for
// clients that come back.
const spare = 100

// Run runs all experiments: each round against one target after the other, so that whatever disturbs the machine
// disturbs all of them. An experiment that fails is a row without a value, and an error.
func (r *Runner) Run(ctx context.Context, into *result.Run) error {
	var err error
	if r.files, err = procstat.Files(); err != nil {
		return err
	}
	r.build.Dir = filepath.Join(r.Dir, "bin")
	if err := os.MkdirAll(r.build.Dir, 0o755); err != nil { //nolint:gosec // programs
		return err
	}
	var failed []error
	for _, e := range Experiments() {
		shown := e.shown(r.Scenarios)
		if len(shown) == 0 || ctx.Err() != nil {
			continue
		}
		into.Scenarios = append(into.Scenarios, shown...)
		failed = append(failed, r.rounds(ctx, e))
	}
	for _, row := range r.rows {
		if r.Scenarios == nil || r.Scenarios.MatchString(row.Scenario) {
			into.Rows = append(into.Rows, *row)
		}
	}
	return errors.Join(failed...)
}

// rounds runs an experiment against all targets, as often as is asked for. What was found until it is interrupted counts.
func (r *Runner) rounds(ctx context.Context, e Experiment) error {
	var failed []error
	for round := range r.Repeat {
		for _, maker := range r.Makers {
			if ctx.Err() != nil {
				return errors.Join(append(failed, context.Cause(ctx))...)
			}
			if err := r.round(ctx, e, maker, round); err != nil {
				failed = append(failed, fmt.Errorf("%s, %s: %w", e.Shows[0].Name, maker.Name, err))
			}
		}
	}
	return errors.Join(failed...)
}

// shown are the scenarios that were asked for.
func (e Experiment) shown(re *regexp.Regexp) []result.Scenario {
	return slices.DeleteFunc(slices.Clone(e.Shows), func(s result.Scenario) bool {
		return re != nil && !re.MatchString(s.Name)
	})
}

// round runs an experiment once against one target.
func (r *Runner) round(ctx context.Context, e Experiment, maker target.Maker, n int) (err error) {
	if maker.Missing != nil && maker.Missing() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.Within, fmt.Errorf("it took longer than %s", e.Within))
	defer cancel()
	round := &Round{runner: r, experiment: e, maker: maker, Size: r.Size}
	round.fit(r.files - r.files/20 - spare)
	defer func() { err = errors.Join(err, round.stop()) }()
	if err := round.start(ctx, e.Options); err != nil {
		return err
	}
	if slices.ContainsFunc(e.Needs, func(c target.Capability) bool { return !round.target.Can(c) }) {
		return nil
	}
	begin := time.Now()
	err = e.Run(ctx, round)
	if err != nil {
		err = fmt.Errorf("%w%s", err, round.said())
		fmt.Fprintf(r.Out, "%-16s %-14s round %d failed: %v\n", e.Shows[0].Name, maker.Name, n+1, err)
	} else {
		fmt.Fprintf(r.Out, "%-16s %-14s round %d: %s (%.0f s)\n", e.Shows[0].Name, maker.Name, n+1, round.found(), time.Since(begin).Seconds())
	}
	return err
}

// Round is one experiment against one target, once.
type Round struct {
	Size
	runner     *Runner
	experiment Experiment
	maker      target.Maker
	target     target.Target
	log        *os.File
	dir        string
	notes      []string
	scaled     bool // it has fewer readers than it should
	figures    []string
}

// fit makes the round's numbers smaller where they need more files than there may be: idle connections first.
func (r *Round) fit(limit int) {
	wanted := r.experiment.Files(r.Size)
	if wanted <= limit {
		return
	}
	if most := limit - r.Few; most > r.Few {
		r.Idle, r.Streams = min(r.Idle, most), min(r.Streams, most)
	}
	if now := r.experiment.Files(r.Size); now > limit {
		r.Size = r.scale(float64(limit) / float64(now))
		r.scaled = true
	}
	r.notes = append(r.notes, fmt.Sprintf("%d connections instead of %d: a process may have %d files open here",
		r.experiment.Files(r.Size), wanted, r.runner.files))
}

// start starts the target. One that runs is ended.
func (r *Round) start(ctx context.Context, o target.Options) error {
	if err := r.stop(); err != nil {
		return err
	}
	var err error
	if r.dir, err = os.MkdirTemp(r.runner.Dir, r.maker.Name+"-"); err != nil {
		return err
	}
	if r.log, err = os.Create(filepath.Join(r.dir, "log")); err != nil {
		return err
	}
	r.target = r.maker.New(target.Place{Repo: r.runner.Repo, Dir: r.dir, Log: r.log, Build: &r.runner.build}, o)
	if err := r.target.Start(ctx); err != nil {
		return fmt.Errorf("start: %w%s", err, r.said())
	}
	return nil
}

// stop ends the target and removes its files.
func (r *Round) stop() error {
	if r.target == nil {
		return nil
	}
	err := errors.Join(r.target.Stop(), r.log.Close(), os.RemoveAll(r.dir))
	r.target = nil
	return err
}

// said is the end of what the target's program wrote.
func (r *Round) said() string {
	const most = 1000
	text, err := os.ReadFile(r.log.Name())
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + string(text[max(0, len(text)-most):])
}

func (r *Round) found() string { return strings.Join(r.figures, ", ") }

// metric says what a figure is.
type metric struct {
	scenario, name, unit string
	better               result.Better
	budget               float64 // of the bridge, 0 for none
	relative             *result.Relative
}

// report adds a figure.
func (r *Round) report(m metric, value float64) {
	figure := fmt.Sprintf("%s %.4g %s", m.name, value, m.unit)
	if first := r.experiment.Shows[0].Name; m.scenario != first {
		figure = m.scenario + " " + figure
	}
	r.figures = append(r.figures, figure)
	for _, row := range r.runner.rows {
		if row.Scenario == m.scenario && row.Target == r.maker.Name && row.Metric == m.name {
			row.Values = append(row.Values, value)
			return
		}
	}
	row := &result.Row{
		Scenario: m.scenario, Target: r.maker.Name, Metric: m.name, Unit: m.unit, Better: m.better,
		Values: []float64{value}, Note: strings.Join(r.notes, "; "),
	}
	if r.maker.Name == bridgeName && !r.scaled { // budgets are for the numbers that a scenario has
		row.Budget, row.Relative = m.budget, m.relative
	}
	r.runner.rows = append(r.runner.rows, row)
}
