package delivery

import (
	"sync"
	"time"
)

// clock asks for what a response does when it is time: beats, and its end. No write touches the timer: it goes off at the
// time of what comes first if nothing is written, looks, and is set anew.
type clock struct {
	of *serving

	mu    sync.Mutex
	timer *time.Timer
	until time.Duration // when the response ends
	quiet time.Duration // since when nothing was written, when the timer was set; or the last beat was asked for
	pause time.Duration // before a beat
	over  bool
}

func (c *clock) start(of *serving) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = of
	config, now := &of.server.config, of.server.now()
	c.until = never
	if !of.src.Ageless() {
		c.until = now + vary(config.MaxAge)
	}
	if of.o.Wait > 0 {
		c.until = min(c.until, now+of.o.Wait)
	}
	c.quiet, c.pause = now, vary(config.Heartbeat)
	c.timer = time.AfterFunc(c.nextLocked()-now, c.look)
}

// nextLocked is when to look if nothing is written until then.
func (c *clock) nextLocked() time.Duration { return min(c.quiet+c.pause, c.until) }

// look asks for what it is time for.
func (c *clock) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.of.server.now()
	c.quiet = max(c.quiet, time.Duration(c.of.wrote.Load()))
	switch {
	case c.over:
		return
	case now >= c.until:
		c.of.ask(askEnd)
		return
	case now >= c.quiet+c.pause:
		c.of.ask(askBeat)
		c.quiet, c.pause = now, vary(c.of.server.config.Heartbeat)
	}
	c.timer.Reset(c.nextLocked() - now)
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}
