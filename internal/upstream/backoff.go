package upstream

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// Pauses between tries are drawn evenly from 0 to a bound ("full jitter"), which doubles from backOffBase up to
	// backOffMax: many calls that were lost together do not come back together.
	backOffBase = 200 * time.Millisecond
	backOffMax  = 15 * time.Second

	// When the backend can be reached again, held calls do not wait for the rest of their pauses, but neither do they
	// come all at once: they spread over a second, and a millisecond more for each of them.
	wakeSpread        = time.Second
	wakeSpreadPerCall = time.Millisecond
)

// backOff returns the pause after so many failures (from 1). asked is the backend's own wish, 0 for none: it is never
// gone below.
func backOff(failures int, asked time.Duration) time.Duration {
	bound := backOffMax
	if shift := failures - 1; shift < 10 { // beyond that the bound has long been reached
		bound = min(bound, backOffBase<<shift)
	}
	if asked > 0 {
		// Everybody was told the same.
		return asked + upTo(asked/5+backOffBase)
	}
	return upTo(bound)
}

// upTo returns a random duration in (0, bound].
func upTo(bound time.Duration) time.Duration { return 1 + rand.N(bound) }

// wakeIn draws the moment after which a held call goes on that is woken now.
func (u *Upstream) wakeIn() time.Duration {
	return upTo(wakeSpread + time.Duration(u.waiting.Load())*wakeSpreadPerCall)
}

// sleep waits for d, or, where ready is not nil, until a moment after ready is closed if that is sooner. It returns
// false when ctx or the Upstream ended first.
func (u *Upstream) sleep(ctx context.Context, d time.Duration, ready <-chan struct{}) bool {
	u.waiting.Add(1)
	defer u.waiting.Add(-1)
	return u.rest(ctx, d, ready)
}

// rest is sleep for a call that is counted as waiting already.
func (u *Upstream) rest(ctx context.Context, d time.Duration, ready <-chan struct{}) bool {
	until := time.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-ready:
			ready = nil
			timer.Reset(min(time.Until(until), u.wakeIn()))
		case <-ctx.Done():
			return false
		case <-u.ctx.Done():
			return false
		}
	}
}
