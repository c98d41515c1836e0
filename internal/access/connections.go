package access

import "sync/atomic"

// ConnLimiter bounds how many connections are served at once. It is safe for concurrent use.
type ConnLimiter struct {
	max  int64
	open atomic.Int64
}

// NewConnLimiter allows limit connections; 0 or less allows any number.
func NewConnLimiter(limit int) *ConnLimiter { return &ConnLimiter{max: int64(limit)} }

// Acquire takes a place and returns how to give it back (more than once does nothing), or false when all are taken. A
// twentieth of the places is kept for clients that come back to a stream (resuming): what they have is lost when they are
// turned away for too long. It never waits.
func (l *ConnLimiter) Acquire(resuming bool) (release func(), ok bool) {
	limit := l.max
	if !resuming {
		limit -= l.max / 20
	}
	for {
		n := l.open.Load()
		if l.max > 0 && n >= limit {
			return nil, false
		}
		if l.open.CompareAndSwap(n, n+1) {
			break
		}
	}
	var released atomic.Bool
	return func() {
		if !released.Swap(true) {
			l.open.Add(-1)
		}
	}, true
}

// Open returns how many places are taken now.
func (l *ConnLimiter) Open() int { return int(l.open.Load()) }
