package delivery

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// stall gives a response up when one of its writes takes too long. Writes only note when they begin and end; the timer
// looks at that, and is set again for as long as it finds one.
type stall struct {
	after  time.Duration
	giveUp func()
	made   time.Time
	since  atomic.Int64 // when the write under way began, after made; or noWrite
	armed  atomic.Bool  // the timer will look

	mu    sync.Mutex // makes stop wait for giveUp
	timer *time.Timer
	over  bool
}

const noWrite = -1

func (s *stall) init(after time.Duration, giveUp func()) {
	s.after, s.giveUp, s.made = after, giveUp, time.Now()
	s.since.Store(noWrite)
	s.timer = time.AfterFunc(math.MaxInt64, s.look)
}

// begin notes that a write begins, which may be the next part of one.
func (s *stall) begin() {
	s.since.Store(int64(time.Since(s.made)))
	if !s.armed.Load() { // look reads since after it has said so
		s.armed.Store(true)
		s.timer.Reset(s.after)
	}
}

// end notes that nothing is being written.
func (s *stall) end() { s.since.Store(noWrite) }

func (s *stall) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed.Store(false)
	since := s.since.Load()
	if s.over || since == noWrite {
		return
	}
	if left := time.Duration(since) + s.after - time.Since(s.made); left > 0 {
		s.armed.Store(true)
		s.timer.Reset(left)
		return
	}
	s.giveUp()
}

// stop: giveUp is not called any more.
func (s *stall) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.timer.Stop()
}
