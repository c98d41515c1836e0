// Package load is the benchmark's clients: many subscribers in one process that cost as little as possible, check that
// each gets every event in order, and measure how long each event took.
//
// Open makes subscribers from bare sockets, for HTTP/1.1 without TLS and compression. OpenClients makes them from ordinary
// clients, for everything else; they cost more, so they are fewer.
package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Config is what to open.
type Config struct {
	// Addr is where to connect, an IPv4 address and a port.
	Addr string
	// Conns is how many subscribers there are.
	Conns int
	// Request is what subscriber i sends.
	Request func(i int) []byte
	// Deaf is how many of them, the last ones, read no further than the response's head.
	Deaf int
	// First is the number of the first event that each must get. Default 1.
	First uint64
	// Latency says whether times are measured.
	Latency bool
	// Own says that each reads a stream of its own; else all read one.
	Own bool
	// Loops is how many threads read. Default 1.
	Loops int
	// Pending is how many may wait for the head of their response at a time. Default 1000, below the length of a listening
	// socket's queue.
	Pending int
	// Patience is how long nothing may arrive while something is waited for. Default 15 s.
	Patience time.Duration
}

func (c *Config) setDefaults() {
	c.First = max(c.First, 1)
	c.Loops = min(max(c.Loops, 1), max(c.Conns, 1))
	if c.Pending == 0 {
		c.Pending = 1000
	}
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
}

// Stats is what was received since the last Reset.
type Stats struct {
	Events  uint64 // deliveries
	Bytes   uint64 // of whole responses
	Latency Histogram
}

// Readers are subscribers that are open. Only one goroutine may wait for them at a time.
type Readers struct {
	conns    int
	patience time.Duration
	tallies  []*tally
	moved    chan struct{}
	close    func()
	closed   sync.Once
}

func newReaders(c *Config) *Readers {
	return &Readers{conns: c.Conns, patience: c.Patience, moved: make(chan struct{}, 1)}
}

func (r *Readers) wake() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// Reached is the number up to which every reader has every event; deaf ones do not count.
func (r *Readers) Reached() uint64 {
	least := r.tallies[0].reached.Load()
	for _, t := range r.tallies[1:] {
		least = min(least, t.reached.Load())
	}
	return least
}

// Counted is how many readers are not deaf.
func (r *Readers) Counted() int {
	counted := 0
	for _, t := range r.tallies {
		counted += t.readers
	}
	return counted
}

// Heads is how many subscribers have their response's head.
func (r *Readers) Heads() int {
	heads := 0
	for _, t := range r.tallies {
		t.mu.Lock()
		heads += t.heads
		t.mu.Unlock()
	}
	return heads
}

// Err is why a reader failed: its response ended, or an event was missing or came twice.
func (r *Readers) Err() error {
	for _, t := range r.tallies {
		t.mu.Lock()
		err := t.err
		t.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Wait waits until every reader has every event up to seq.
func (r *Readers) Wait(ctx context.Context, seq uint64) error {
	if err := r.until(ctx, func() bool { return r.Reached() >= seq }); err != nil {
		return fmt.Errorf("waiting for all readers to have event %d (all have %d): %w", seq, r.Reached(), err)
	}
	return nil
}

func (r *Readers) until(ctx context.Context, done func() bool) error {
	if err := r.Err(); err != nil || done() {
		return err
	}
	last := r.progress()
	look := time.NewTicker(r.patience)
	defer look.Stop()
	for {
		if err := r.Err(); err != nil || done() {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			now := r.progress()
			if now == last {
				return fmt.Errorf("nothing arrived for %s", r.patience)
			}
			last = now
		case <-r.moved:
		}
	}
}

// progress changes when anything arrives.
func (r *Readers) progress() uint64 {
	sum := uint64(0)
	for _, t := range r.tallies {
		t.mu.Lock()
		sum += t.all + uint64(t.heads)
		t.mu.Unlock()
	}
	return sum
}

// Stats is what was received since the last Reset, by all readers together.
func (r *Readers) Stats() *Stats {
	s := new(Stats)
	for _, t := range r.tallies {
		t.mu.Lock()
		s.Events += t.events
		s.Bytes += t.bytes + t.wire.Load()
		s.Latency.Merge(&t.hist)
		t.mu.Unlock()
	}
	return s
}

// Reset begins to count anew. Events' numbers go on.
func (r *Readers) Reset() {
	for _, t := range r.tallies {
		t.mu.Lock()
		t.events, t.bytes, t.hist = 0, 0, Histogram{}
		t.wire.Store(0)
		t.mu.Unlock()
	}
}

// Close ends all connections and waits for what read them.
func (r *Readers) Close() { r.closed.Do(r.close) }

// opened waits for all heads.
func (r *Readers) opened(ctx context.Context) error {
	if err := r.until(ctx, func() bool { return r.Heads() == r.conns }); err != nil {
		heads := r.Heads()
		r.Close()
		return fmt.Errorf("opening %d connections (%d are open): %w", r.conns, heads, err)
	}
	return nil
}

// Pace calls publish rate times a second for a time, with the moment at which each call was due. It calls again only when
// publish has returned, without leaving calls out.
func Pace(ctx context.Context, rate float64, during time.Duration, publish func(due time.Time) error) error {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		after := time.Duration(float64(i) / rate * float64(time.Second))
		if after >= during {
			return nil
		}
		due := begin.Add(after)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-timer.C:
			}
		}
		if err := publish(due); err != nil {
			return err
		}
	}
}
