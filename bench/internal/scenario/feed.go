package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/bridge"
	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
	"github.com/grpc-sse/grpc-sse/bench/internal/procstat"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

const bridgeName = bridge.Name

// feed publishes one stream, and knows who reads it.
type feed struct {
	round   *Round
	stream  string
	readers *load.Readers
	seq     uint64 // of the newest event
	payload []byte
}

// open opens n readers of a new stream.
func (r *Round) open(ctx context.Context, stream string, n int, change func(*load.Config)) (*feed, error) {
	request := r.target.Request(stream, target.Live)
	c := load.Config{Addr: r.target.Addr(), Conns: n, Latency: true, Patience: r.Patience, Request: func(int) []byte { return request }}
	if change != nil {
		change(&c)
	}
	readers, err := load.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	return &feed{round: r, stream: stream, readers: readers}, nil
}

// publish publishes the next event, of a size, with the time at which it was due.
func (f *feed) publish(ctx context.Context, size int, due int64) error {
	f.seq++
	f.payload = event.Sized(f.payload[:0], size, f.seq, due)
	return f.round.target.Publish(ctx, f.stream, f.payload)
}

// publishAhead publishes the next event and does not wait until it is taken, where the target can be published to so.
func (f *feed) publishAhead(ctx context.Context) error {
	to, ok := f.round.target.(target.Ahead)
	if !ok {
		return f.publish(ctx, event.Size, event.Now())
	}
	f.seq++
	f.payload = event.Sized(f.payload[:0], event.Size, f.seq, event.Now())
	return to.PublishAhead(ctx, f.stream, f.payload)
}

// measured is what paced and burst found.
type measured struct {
	took   time.Duration // until everybody had everything
	cpu    time.Duration // of the target
	own    time.Duration // of this process, which publishes and reads
	stats  *load.Stats
	behind time.Duration // how late the last quarter of the events was published, on average
}

func (m measured) perSecond() float64 { return float64(m.stats.Events) / m.took.Seconds() }

// perDelivery is the target's CPU time in µs.
func (m measured) perDelivery() float64 { return m.each(m.cpu) }

func (m measured) each(cpu time.Duration) float64 {
	return float64(cpu) / float64(time.Microsecond) / float64(m.stats.Events)
}

// p99 is in milliseconds.
func (m measured) p99() float64 {
	return float64(m.stats.Latency.Quantile(0.99)) / float64(time.Millisecond)
}

// measure runs publish and waits until everybody has everything.
func (f *feed) measure(ctx context.Context, publish func() error) (measured, error) {
	pids, self := f.round.target.PIDs(), []int{os.Getpid()}
	f.readers.Reset()
	before, err := procstat.CPU(pids)
	if err != nil {
		return measured{}, err
	}
	own, err := procstat.CPU(self)
	if err != nil {
		return measured{}, err
	}
	begin := time.Now()
	if err := publish(); err != nil {
		return measured{}, err
	}
	if err := f.readers.Wait(ctx, f.seq); err != nil {
		return measured{}, err
	}
	took := time.Since(begin)
	after, err := procstat.CPU(pids)
	if err != nil {
		return measured{}, err
	}
	ownAfter, err := procstat.CPU(self)
	m := measured{took: took, cpu: after - before, own: ownAfter - own, stats: f.readers.Stats()}
	if err == nil && m.stats.Events == 0 {
		err = errors.New("nothing was published")
	}
	return m, err
}

// paced publishes rate events a second, but none before everybody has the one before. An event's time is the moment at
// which it was due, so what a slow target delays counts as latency.
func (f *feed) paced(ctx context.Context, rate float64, during time.Duration) (measured, error) {
	return f.due(ctx, rate, during, func() error { return f.readers.Wait(ctx, f.seq) })
}

// unpaced publishes rate events a second, whoever has those before.
func (f *feed) unpaced(ctx context.Context, rate float64, during time.Duration) (measured, error) {
	return f.due(ctx, rate, during, func() error { return nil })
}

// due publishes rate events a second, each when before has returned.
func (f *feed) due(ctx context.Context, rate float64, during time.Duration, before func() error) (measured, error) {
	var late []time.Duration
	m, err := f.measure(ctx, func() error {
		return load.Pace(ctx, rate, during, func(due time.Time) error {
			if err := before(); err != nil {
				return err
			}
			behind := max(0, time.Since(due))
			late = append(late, behind)
			return f.publish(ctx, event.Size, event.Now()-int64(behind))
		})
	})
	if err != nil {
		return m, fmt.Errorf("%.4g events a second: %w", rate, err)
	}
	quarter := late[len(late)*3/4:]
	for _, l := range quarter {
		m.behind += l / time.Duration(len(quarter))
	}
	return m, nil
}

// burst publishes as fast as readers read: an event when all have the one that is window before it.
func (f *feed) burst(ctx context.Context, window uint64, during time.Duration) (measured, error) {
	m, err := f.measure(ctx, func() error {
		for end := time.Now().Add(during); time.Now().Before(end); {
			if f.seq >= window {
				if err := f.readers.Wait(ctx, f.seq+1-window); err != nil {
					return err
				}
			}
			if err := f.publishAhead(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("%d events in flight: %w", window, err)
	}
	return m, nil
}

// lateAfter is how many milliseconds a delivery may take.
const lateAfter = 200

// most is the greatest rate, in events a second, at which events do not fall behind and 99 % take no longer than 200 ms. A
// burst of one event at a time says about where it is; then the range is halved a few times.
func (f *feed) most(ctx context.Context, trial time.Duration) (rate float64, at measured, err error) {
	const halves = 4
	about, err := f.burst(ctx, 1, trial)
	if err != nil {
		return 0, at, err
	}
	guess := about.perSecond() / float64(f.readers.Counted())
	least, greatest := 0.0, 1.15*guess
	next := 0.9 * guess
	for tries := 0; tries < halves || least == 0; tries++ {
		if tries == 3*halves {
			return 0, at, fmt.Errorf("not even %.3g events a second are delivered in %d ms", greatest, lateAfter)
		}
		m, fine, err := f.keepsUp(ctx, f.paced, next, max(trial, time.Duration(3/next*float64(time.Second))), lateAfter)
		if err != nil {
			return 0, at, err
		}
		if fine {
			least, at = next, m
		} else {
			greatest = next
		}
		if next = (least + greatest) / 2; least == 0 {
			next = greatest * 0.8
		}
	}
	return least, at, nil
}

// mostUnpaced is the same where events come whoever has those before, from a rate that is kept up with on. It is the last
// that is done with the readers: a target that loses events when it has too many ends the search.
func (f *feed) mostUnpaced(ctx context.Context, from float64, trial time.Duration) (rate float64, at measured, err error) {
	const halves = 3
	least, greatest := 0.0, 0.0 // 0: not found yet
	for next, tries := from, 0; tries < halves; {
		m, fine, err := f.keepsUp(ctx, f.unpaced, next, max(trial, time.Duration(3/next*float64(time.Second))), lateAfter)
		if err != nil && least == 0 {
			return 0, at, err
		}
		if err != nil {
			return least, at, nil //nolint:nilerr // it cannot do this rate, and could do the last
		}
		if fine {
			least, at = next, m
		} else {
			greatest = next
		}
		switch {
		case !f.round.Exact:
			return least, at, nil
		case greatest == 0:
			next *= 2
		case least == 0:
			next *= 0.7
		default:
			next = (least + greatest) / 2
			tries++
		}
	}
	return least, at, nil
}

// keepsUp says whether a rate is kept within a limit of milliseconds. It tries twice: one disturbance of the machine is
// enough to fail.
func (f *feed) keepsUp(
	ctx context.Context, pace func(context.Context, float64, time.Duration) (measured, error),
	rate float64, during time.Duration, limit float64,
) (m measured, ok bool, err error) {
	for range 2 {
		m, err = pace(ctx, rate, during)
		if err != nil || !f.round.Exact || m.p99() <= limit && m.behind.Seconds() <= 1/rate {
			return m, err == nil, err
		}
	}
	return m, false, nil
}

// idle waits until the target does nothing, for at most a few seconds.
func (r *Round) idle(ctx context.Context) error {
	const (
		every  = 50 * time.Millisecond
		little = 0.03
	)
	again := time.NewTicker(every)
	defer again.Stop()
	last := time.Duration(-1)
	for range 100 {
		now, err := procstat.CPU(r.target.PIDs())
		if err != nil {
			return err
		}
		if last >= 0 && float64(now-last) < little*float64(every) {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
		}
	}
	return nil
}

// unused is how much of a processor the target uses while nothing happens.
func (r *Round) unused(ctx context.Context, during time.Duration) (share float64, err error) {
	before, err := procstat.CPU(r.target.PIDs())
	if err != nil {
		return 0, err
	}
	begin, timer := time.Now(), time.NewTimer(during)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-timer.C:
	}
	after, err := procstat.CPU(r.target.PIDs())
	return float64(after-before) / float64(time.Since(begin)), err
}
