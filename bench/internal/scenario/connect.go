package scenario

import (
	"context"
	"slices"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
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
		Needs:  target.CatchUp,
		Files:  func(s Size) int { return s.CatchUpReaders + 1 },
		Within: 2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			first := func(stream string) func(*load.Config) {
				request := r.target.Request(stream, target.First)
				return func(c *load.Config) { c.Request = func(int) []byte { return request } }
			}
			f, err := r.open(ctx, "kept", 1, first("kept"))
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
			var found []float64
			for range r.Tries {
				if err := r.idle(ctx); err != nil {
					return err
				}
				begin := time.Now()
				late, err := r.open(ctx, "kept", r.CatchUpReaders, func(c *load.Config) {
					first("kept")(c)
					c.Latency, c.Loops = false, 2
				})
				if err != nil {
					return err
				}
				err = late.readers.Wait(ctx, f.seq)
				found = append(found, float64(r.CatchUpReaders*r.CatchUpEvents)/time.Since(begin).Seconds())
				late.readers.Close()
				if err != nil {
					return err
				}
			}
			r.report(rate(catchUp, deliveries, 8e6), median(found))
			return nil
		},
	}
}

func stormExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: storm, Title: "Storm: 10,000 connects until all have an event",
			About: "10,000 clients connect at once; when all are subscribed, one event is published. Counted is the time from the " +
				"first connect until every client has it.",
		}},
		Needs:  target.Fanout,
		Files:  func(s Size) int { return s.Many },
		Within: 2 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			var found []float64
			for try := range r.Tries {
				if try > 0 { // each begins with a new process
					if err := r.start(ctx, target.Options{}); err != nil {
						return err
					}
				}
				if err := r.idle(ctx); err != nil {
					return err
				}
				took, err := r.storm(ctx)
				if err != nil {
					return err
				}
				found = append(found, took.Seconds())
			}
			r.report(metric{scenario: storm, name: "until all have an event", unit: "s", better: result.Lower, budget: 0.4}, median(found))
			return nil
		},
	}
}

func (r *Round) storm(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	f, err := r.open(ctx, "storm", r.Many, nil)
	if err != nil {
		return 0, err
	}
	defer f.readers.Close()
	if err := f.publish(ctx, event.Size, event.Now()); err != nil {
		return 0, err
	}
	err = f.readers.Wait(ctx, 1)
	return time.Since(begin), err
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
