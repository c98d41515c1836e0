package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
	"github.com/grpc-sse/grpc-sse/bench/internal/result"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func perCallExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: perCall, Title: "10,000 calls with one reader each",
			About: "20,000 deliveries a second in all: first as one stream that 10,000 read, then, where the program calls a backend, " +
				"as 10,000 calls with one reader each. Counted is the processor time for each delivery.",
		}},
		Needs:  []target.Capability{target.Fanout},
		Files:  func(s Size) int { return s.Many },
		Within: 3 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			const one, each = cpuPerDelivery + ", one stream", cpuPerDelivery + ", a call each"
			if err := r.oneStream(ctx, one); err != nil {
				return err
			}
			if !r.target.Can(target.PerCall) {
				return nil
			}
			if err := r.start(ctx, target.Options{Streams: r.Many}); err != nil {
				return err
			}
			m := micros(perCall, each, 0)
			m.relative = &result.Relative{Target: "nchan", Metric: one, Times: 1.5}
			return r.callEach(ctx, m)
		},
	}
}

func (r *Round) oneStream(ctx context.Context, name string) error {
	f, err := r.open(ctx, "shared", r.Many, nil)
	if err != nil {
		return err
	}
	defer f.readers.Close()
	m, err := f.paced(ctx, r.Rate/float64(r.Many), r.During)
	if err != nil {
		return err
	}
	r.report(micros(perCall, name, 0), m.perDelivery())
	return nil
}

func (r *Round) callEach(ctx context.Context, m metric) error {
	before, err := r.settled(ctx)
	if err != nil {
		return err
	}
	f, err := r.open(ctx, "", r.Many, func(c *load.Config) {
		c.Own = true
		c.Request = func(i int) []byte { return r.target.Request(streamOf(i), target.Own) }
	})
	if err != nil {
		return err
	}
	defer f.readers.Close()
	after, err := r.settled(ctx)
	if err != nil {
		return err
	}
	found, err := f.inTurn(ctx, r.Many, r.Rate, r.During)
	if err != nil {
		return err
	}
	r.report(m, found.perDelivery())
	r.report(millis(perCall, "p99, a call each", 0), found.p99())
	r.report(metric{scenario: perCall, name: "memory per call", unit: "KB", better: result.Lower},
		float64(after-before)/float64(r.Many)/1000)
	return nil
}

func streamOf(i int) string { return fmt.Sprintf("own-%d", i) }

// inTurn publishes to n streams in turn, each the same number of events, at a rate of events in all.
func (f *feed) inTurn(ctx context.Context, n int, rate float64, during time.Duration) (measured, error) {
	const together = 5 * time.Millisecond // a timer for each event would be most of the work
	turns := max(1, int(rate*during.Seconds()/float64(n)))
	batch := max(1, int(rate*together.Seconds()))
	streams := make([]string, n)
	for i := range streams {
		streams[i] = streamOf(i)
	}
	left := turns * n
	m, err := f.measure(ctx, func() error {
		next := 0
		return ignore(errDone, load.Pace(ctx, rate/float64(batch), 10*during+time.Second, func(time.Time) error {
			for range min(batch, left) {
				f.payload = event.Payload(f.payload[:0], f.seq+1, event.Now())
				if err := f.round.target.Publish(ctx, streams[next], f.payload); err != nil {
					return err
				}
				if next++; next == n {
					next = 0
					f.seq++
				}
				left--
			}
			if left == 0 {
				return errDone
			}
			return nil
		}))
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%d of %d events could not be published in time", left, turns*n)
	}
	return m, err
}

var errDone = errors.New("done")

// ignore is err, or nil where it is one that means no failure.
func ignore(fine, err error) error {
	if errors.Is(err, fine) {
		return nil
	}
	return err
}

func besideIdleExperiment() Experiment {
	return Experiment{
		Shows: []result.Scenario{{
			Name: besideIdle, Title: "A busy stream beside 19,000 idle connections, and beside 10,000 idle streams",
			About: "1,000 readers of one stream, 20,000 deliveries a second: alone, beside 19,000 connections that read another stream, " +
				"which is silent, and beside 10,000 silent streams with a reader and a call each. Counted is how much more a " +
				"delivery costs then, without what the idle connections cost by themselves.",
		}},
		Needs:   []target.Capability{target.Fanout},
		Options: target.Options{Quiet: true},
		Files:   func(s Size) int { return s.Few + max(s.Idle, s.Streams) },
		Within:  4 * time.Minute,
		Run: func(ctx context.Context, r *Round) error {
			alone, err := r.beside(ctx, 0, nil)
			if err != nil {
				return err
			}
			r.report(micros(besideIdle, cpuPerDelivery+", alone", 0), alone.perDelivery())
			r.report(millis(besideIdle, "p99, alone", 0), alone.p99())
			silent := r.target.Request("silent", target.Live)
			return errors.Join(
				r.besideIdle(ctx, alone, "idle connections", r.Idle, func(int) []byte { return silent }),
				r.besideIdle(ctx, alone, "idle streams", r.Streams, func(i int) []byte {
					return r.target.Request(streamOf(i), target.Live)
				}),
			)
		},
	}
}

// besideIdle reports what a busy stream costs beside n idle readers, in proportion to what it costs alone.
func (r *Round) besideIdle(ctx context.Context, alone measured, of string, n int, request func(int) []byte) error {
	if err := r.start(ctx, target.Options{Quiet: true, Streams: n}); err != nil {
		return err
	}
	m, err := r.beside(ctx, n, request)
	if err != nil {
		return err
	}
	r.report(metric{scenario: besideIdle, name: cpuPerDelivery + " beside " + of, unit: "× alone", better: result.Lower, budget: 1.1},
		m.perDelivery()/alone.perDelivery())
	r.report(metric{scenario: besideIdle, name: "p99 beside " + of, unit: "× alone", better: result.Lower}, m.p99()/alone.p99())
	return nil
}

// beside measures a busy stream beside n idle readers.
func (r *Round) beside(ctx context.Context, n int, request func(int) []byte) (measured, error) {
	if n > 0 {
		silent, err := r.open(ctx, "", n, func(c *load.Config) { c.Own, c.Request = true, request })
		if err != nil {
			return measured{}, err
		}
		defer silent.readers.Close()
	}
	f, err := r.open(ctx, "busy", r.Few, nil)
	if err != nil {
		return measured{}, err
	}
	defer f.readers.Close()
	if _, err := r.settled(ctx); err != nil { // what connecting has left behind is cleared away
		return measured{}, err
	}
	if err := r.idle(ctx); err != nil {
		return measured{}, err
	}
	idle, err := r.unused(ctx, r.During/2)
	if err != nil {
		return measured{}, err
	}
	m, err := f.paced(ctx, r.Rate/float64(r.Few), r.During)
	m.cpu -= time.Duration(idle * float64(m.took))
	return m, err
}
