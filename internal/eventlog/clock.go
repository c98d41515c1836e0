package eventlog

import "time"

// clock is what ages are counted with: nanoseconds since the log was made.
type clock struct {
	made time.Time
	from func() time.Time // nil: the computer's
}

func newClock(from func() time.Time) clock {
	c := clock{from: from}
	c.made = c.time()
	return c
}

func (c *clock) time() time.Time {
	if c.from == nil {
		return time.Now()
	}
	return c.from()
}

// now is the time. The computer's date is not asked for: that is half the cost, and dates jump.
func (c *clock) now() int64 {
	if c.from == nil {
		return int64(time.Since(c.made))
	}
	return int64(c.from().Sub(c.made))
}

// at is a time that somebody else has asked for, if anybody has.
func (c *clock) at(t time.Time) int64 {
	if c.from != nil || t.IsZero() {
		return c.now()
	}
	return int64(t.Sub(c.made))
}
