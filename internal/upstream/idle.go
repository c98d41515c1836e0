package upstream

import "time"

// idleTimer calls a function when it has run for some time without being stopped.
type idleTimer struct {
	after time.Duration
	timer *time.Timer // nil: no limit
}

// newIdleTimer returns a running timer.
func newIdleTimer(after time.Duration, f func()) *idleTimer {
	if after <= 0 {
		return &idleTimer{}
	}
	return &idleTimer{after: after, timer: time.AfterFunc(after, f)}
}

func (t *idleTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *idleTimer) start() {
	if t.timer != nil {
		t.timer.Reset(t.after)
	}
}
