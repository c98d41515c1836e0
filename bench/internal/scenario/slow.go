package scenario

import (
	"context"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func slowReadersExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: slowReaders, Title: "1,000 of 10,000 readers do not read",
			About: "10,000 readers of one stream, of which 1,000 read nothing but the response's head. Large events fill their " +
				"connections; then 20,000 deliveries a second go to the others. Counted is by how much the process grows from the " +
				"first event to the last, and how long deliveries to the others take, before and after.",
		}},
		Needs:  []target.Capability{target.SlowReaders},
		Files:  func(s Size) int { return s.Many },
		Within: 3 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			f, err := r.open(ctx, "slow", r.Many, func(c *load.Config) { c.Deaf = r.Deaf })
			if err != nil {
				return err
			}
			defer f.readers.Close()
			before, err := r.settled(ctx)
			if err != nil {
				return err
			}
			events := r.Rate / float64(r.Many)
			fine, err := f.paced(ctx, events, r.During/2)
			if err != nil {
				return err
			}
			for range r.Fill {
				const large = 2000
				if err := f.publish(ctx, large, event.Now()); err != nil {
					return err
				}
				if err := f.readers.Wait(ctx, f.seq); err != nil {
					return err
				}
			}
			slowed, err := f.paced(ctx, events, r.During)
			if err != nil {
				return err
			}
			after, err := procstat.Anonymous(r.target.PIDs())
			if err != nil {
				return err
			}
			r.report(metric{scenario: slowReaders, name: "memory growth", unit: "MB", better: result.Lower}, float64(after-before)/1e6)
			r.report(millis(slowReaders, "p99 of the others, before", 0), fine.p99())
			r.report(millis(slowReaders, "p99 of the others", 0), slowed.p99())
			r.report(micros(slowReaders, cpuPerDelivery, 0), slowed.perDelivery())
			return nil
		},
	}
}
