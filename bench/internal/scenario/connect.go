package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func catchUpExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: catchUp, Title: "Catch-up: 1,000 clients, 1,000 events each",
			About: "1,000 clients connect at once to a stream that keeps 1,000 events, and read all of them. Counted are deliveries " +
				"from the first connect to the last event.",
		}},
		Needs:  []target.Capability{target.CatchUp},
		Files:  func(s Size) int { return s.CatchUpReaders + 1 },
		Within: 2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			first := r.target.Request("kept", target.First)
			f, err := r.open(ctx, "kept", 1, func(c *load.Config) { c.Request = func(int) []byte { return first } })
			if err != nil {
				return err
			}
			defer f.readers.Close()
			for range r.CatchUpEvents {
				if err := f.publish(ctx, event.Size, event.Now()); err != nil {
					return err
				}
			}
			if err := f.readers.Wait(ctx, f.seq); err != nil {
				return err
			}
			var speed, cpu []float64
			for range r.Tries {
				took, used, err := r.rush(ctx, "kept", r.CatchUpReaders, func(c *load.Config) {
					c.Request = func(int) []byte { return first }
					c.Latency, c.Loops = false, 2
				}, func(late *feed) error { return late.readers.Wait(ctx, f.seq) })
				if err != nil {
					return err
				}
				events := float64(r.CatchUpReaders * r.CatchUpEvents)
				speed = append(speed, events/took.Seconds())
				cpu = append(cpu, used.Seconds()*1e6/events)
			}
			r.report(rate(catchUp, deliveries, 8e6), median(speed))
			r.report(micros(catchUp, cpuPerDelivery, 0), median(cpu))
			return nil
		},
	}
}

// rush opens n readers at once and measures how long it takes until done returns, and the target's CPU time.
func (r *Round) rush(ctx context.Context, stream string, n int, change func(*load.Config), done func(*feed) error) (took, cpu time.Duration, err error) {
	if err := r.idle(ctx); err != nil {
		return 0, 0, err
	}
	before, err := procstat.CPU(r.target.PIDs())
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	f, err := r.open(ctx, stream, n, change)
	if err != nil {
		return 0, 0, err
	}
	defer f.readers.Close()
	if err := done(f); err != nil {
		return 0, 0, err
	}
	took = time.Since(begin)
	after, err := procstat.CPU(r.target.PIDs())
	return took, after - before, err
}

func stormExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: storm, Title: "Storm: 10,000 connects until all have an event",
			About: "10,000 clients connect at once; when all are subscribed, one event is published. Counted is the time from the " +
				"first connect until every client has it.",
		}},
		Needs:  []target.Capability{target.Fanout},
		Files:  func(s Size) int { return s.Many },
		Within: 2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			var seconds, cpu []float64
			for try := range r.Tries {
				if try > 0 { // each begins with a new process
					if err := r.start(ctx, target.Options{}); err != nil {
						return err
					}
				}
				took, used, err := r.rush(ctx, "storm", r.Many, nil, func(f *feed) error {
					if err := f.publish(ctx, event.Size, event.Now()); err != nil {
						return err
					}
					return f.readers.Wait(ctx, f.seq)
				})
				if err != nil {
					return err
				}
				seconds = append(seconds, took.Seconds())
				cpu = append(cpu, used.Seconds()*1e6/float64(r.Many))
			}
			r.report(metric{scenario: storm, name: "until all have an event", unit: "s", better: result.Lower, budget: 0.4}, median(seconds))
			r.report(micros(storm, "CPU per connection", 0), median(cpu))
			return nil
		},
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
