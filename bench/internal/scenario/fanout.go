package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

// Names of scenarios. The numbers in them are those of a full run.
const (
	idleMemory  = "idle-memory"
	maxMany     = "max-10k"
	halfMany    = "cpu-half-10k"
	nineMany    = "cpu-90-10k"
	halfFew     = "cpu-half-1k"
	flightMany  = "in-flight-10k"
	flightFew   = "in-flight-1k"
	catchUp     = "catch-up"
	storm       = "storm"
	perCall     = "per-call"
	besideIdle  = "idle-beside"
	slowReaders = "slow-readers"
)

const (
	cpuPerDelivery = "CPU per delivery"
	deliveries     = "deliveries per second"
)

func micros(scenario, name string, budget float64) metric {
	return metric{scenario: scenario, name: name, unit: "µs", better: result.Lower, budget: budget}
}

func millis(scenario, name string, budget float64) metric {
	return metric{scenario: scenario, name: name, unit: "ms", better: result.Lower, budget: budget}
}

func rate(scenario, name string, budget float64) metric {
	return metric{scenario: scenario, name: name, unit: "/s", better: result.Higher, budget: budget}
}

func idleMemoryExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: idleMemory, Title: "Memory of an idle connection",
			About: "10,000 readers of one stream that has no events. Counted is the memory of the process that is no file's " +
				"(RssAnon), after it has settled, less what it was before, for each reader.",
		}},
		Needs:  []target.Capability{target.Fanout},
		Files:  func(s Size) int { return s.Many },
		Within: 2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			before, err := r.settled(ctx)
			if err != nil {
				return err
			}
			f, err := r.open(ctx, "idle", r.Many, nil)
			if err != nil {
				return err
			}
			defer f.readers.Close()
			after, err := r.settled(ctx)
			if err != nil {
				return err
			}
			r.report(metric{scenario: idleMemory, name: "memory per connection", unit: "KB", better: result.Lower, budget: 2.5},
				float64(after-before)/float64(r.Many)/1000)
			return f.readers.Err()
		},
	}
}

// settled is the target's memory when it has stopped to change.
func (r *Round) settled(ctx context.Context) (int64, error) {
	const steady = 0.005
	every := r.Settle / 4
	again := time.NewTicker(every)
	defer again.Stop()
	var was int64
	for quiet, end := time.Now(), time.Now().Add(r.SettleBy); ; {
		now, err := procstat.Anonymous(r.target.PIDs())
		if err != nil {
			return 0, err
		}
		if d := float64(now - was); d > steady*float64(was) || d < -steady*float64(was) {
			was, quiet = now, time.Now()
		}
		if time.Since(quiet) >= r.Settle || time.Now().After(end) {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-again.C:
		}
	}
}

func fanOutManyExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{
			{
				Name: maxMany, Title: "Most deliveries before they are late, 10,000 readers",
				About: "One stream. The rate of events is raised until 1 % of the deliveries take longer than 200 ms, counted from " +
					"the moment at which the event was due. One at a time: an event is published when every reader has the one " +
					"before, so no program can join events into one write, nor be much faster than the kernel row. Half and 90 % load are " +
					"of that rate.",
			},
			{
				Name: halfMany, Title: "CPU at half load, 10,000 readers",
				About: "One stream, at half of the rate that the program can do. Counted is the processor time of its process, user " +
					"and system, for each event and reader.",
			},
			{
				Name: nineMany, Title: "CPU at 90 % load, 10,000 readers",
				About: "The same at 90 % of the rate that the program can do.",
			},
		},
		Needs:  []target.Capability{target.Fanout},
		Files:  func(s Size) int { return s.Many },
		Within: 5 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			f, err := r.open(ctx, "fan", r.Many, nil)
			if err != nil {
				return err
			}
			defer f.readers.Close()
			most, at, err := f.most(ctx, r.Trial)
			if err != nil {
				return err
			}
			r.report(rate(maxMany, deliveries+", one at a time", 0), most*float64(r.Many))
			r.report(millis(maxMany, "p99, one at a time", lateAfter), at.p99())
			if err := f.atLoad(ctx, halfMany, most/2, 8.5); err != nil {
				return err
			}
			if err := f.atLoad(ctx, nineMany, most*0.9, 7.5); err != nil {
				return err
			}
			if most, at, err = f.mostUnpaced(ctx, most, r.Trial); err != nil {
				return err
			}
			m := rate(maxMany, deliveries, 0)
			m.relative = &result.Relative{Target: "nchan", Times: 1.5}
			r.report(m, most*float64(r.Many))
			r.report(millis(maxMany, "p99", lateAfter), at.p99())
			return nil
		},
	}
}

// atLoad reports what deliveries cost at a rate of events.
func (f *feed) atLoad(ctx context.Context, scenario string, events, budget float64) error {
	r := f.round
	m, err := f.paced(ctx, events, max(r.During, time.Duration(5/events*float64(time.Second))))
	if err != nil {
		return err
	}
	r.report(micros(scenario, cpuPerDelivery, budget), m.perDelivery())
	r.report(micros(scenario, "CPU per delivery of the load generator", 0), m.each(m.own))
	r.report(millis(scenario, "p50", 0), float64(m.stats.Latency.Quantile(0.5))/float64(time.Millisecond))
	r.report(millis(scenario, "p99", 0), m.p99())
	r.report(millis(scenario, "p99.9", 0), float64(m.stats.Latency.Quantile(0.999))/float64(time.Millisecond))
	r.report(millis(scenario, "slowest", 0), float64(m.stats.Latency.Max())/float64(time.Millisecond))
	return nil
}

func fanOutFewExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: halfFew, Title: "CPU at half load, 1,000 readers",
			About: "One stream, at half of the rate that the program can do. Counted is the processor time of its process, user and " +
				"system, for each event and reader.",
		}},
		Needs:  []target.Capability{target.Fanout},
		Files:  func(s Size) int { return s.Few },
		Within: 3 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			f, err := r.open(ctx, "fan", r.Few, nil)
			if err != nil {
				return err
			}
			defer f.readers.Close()
			most, _, err := f.most(ctx, r.Trial)
			if err != nil {
				return err
			}
			r.report(rate(halfFew, "most "+deliveries, 0), most*float64(r.Few))
			return f.atLoad(ctx, halfFew, most/2, 5)
		},
	}
}

func inFlightExperiment(name, title string, readers func(Size) int, budget float64) Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: name, Title: title,
			About: "The publisher sends an event when every reader has the event 8, or 64, before it. So a program may join events " +
				"into one write. Every reader must get every event in order.",
		}},
		Needs:  []target.Capability{target.Fanout},
		Files:  readers,
		Within: 3 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			f, err := r.open(ctx, "flight", readers(r.Size), nil)
			if err != nil {
				return err
			}
			defer f.readers.Close()
			for _, window := range []uint64{8, 64} {
				m, err := f.burst(ctx, window, r.During)
				if err != nil {
					return err
				}
				of := fmt.Sprintf(", %d in flight", window)
				least := 0.0
				if window == 64 { // as fast as the backend can send
					least = budget
				}
				r.report(rate(name, deliveries+of, least), m.perSecond())
				r.report(micros(name, cpuPerDelivery+of, 0), m.perDelivery())
				r.report(millis(name, "p99"+of, 0), m.p99())
			}
			return nil
		},
	}
}
