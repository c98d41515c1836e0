package upstream

import (
	"math"
	"sync/atomic"
	"time"
)

// idleTimer calls a function when one wait lasts for some time. Waits begin and end with every message, so they do not
// touch the timer, only note since when there is one: the timer goes off at its time, looks, and is set anew where what
// it sees has not lasted long enough. Nor do they ask for the time, which costs as much as taking a lock: a wait begins
// when the message before it came, unless its reader held it.
type idleTimer struct {
	after time.Duration // 0: no limit
	idle  func()
	made  time.Time
	timer *time.Timer
	held  bool // the reader waited for something else; of the goroutine that receives
	// since is when the wait began, after made; or one of the two below.
	since atomic.Int64
}

const (
	notWaiting = -1
	ended      = -2
)

// newIdleTimer returns a timer whose first wait has begun.
func newIdleTimer(after time.Duration, idle func()) *idleTimer {
	t := &idleTimer{after: max(after, 0), idle: idle, made: time.Now()}
	if t.after > 0 {
		t.timer = time.AfterFunc(math.MaxInt64, t.look) // look needs it to be there
		t.timer.Reset(t.after)
	}
	return t
}

// stop ends the wait.
func (t *idleTimer) stop() {
	if t.after > 0 {
		t.since.Store(notWaiting)
	}
}

// hold says that the wait that is next does not begin when the message came.
func (t *idleTimer) hold() { t.held = true }

// start begins a wait, after a message that came at that time, or zero.
func (t *idleTimer) start(received time.Time) {
	if t.after == 0 {
		return
	}
	if received.IsZero() || t.held {
		received, t.held = time.Now(), false
	}
	t.since.Store(int64(received.Sub(t.made)))
}

// end ends the timer.
func (t *idleTimer) end() {
	if t.after > 0 {
		t.since.Store(ended)
		t.timer.Stop()
	}
}

// look is called when the timer goes off.
func (t *idleTimer) look() {
	next := t.after
	switch since := t.since.Load(); since {
	case ended:
		return
	case notWaiting:
	default:
		if next -= time.Since(t.made) - time.Duration(since); next <= 0 {
			t.idle()
			return
		}
	}
	t.timer.Reset(next)
	if t.since.Load() == ended { // in the meantime
		t.timer.Stop()
	}
}
