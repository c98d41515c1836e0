package upstream

import (
	"context"
	"sync"
	"time"
)

const (
	// reopenBurst is how many lost calls may be on their way back to one backend at a time: opened, and neither answered
	// nor failed.
	reopenBurst = 200

	// reopenRate is how many of them may fail a second, once reopenBurst have.
	reopenRate = 20

	// slotHold is how long an opening is on its way at most. A backend with nothing to say may not even send headers.
	slotHold = time.Second
)

// budget bounds how fast lost calls come back to one backend. Each opening takes a slot; an answer gives it back at
// once, a failure later, reopenRate of them a second. So a backend that answers gets its calls back as fast as it answers,
// and one that fails gets at most reopenBurst openings and then reopenRate a second, however many calls are lost.
type budget struct {
	slots chan struct{} // an element for each slot that is taken

	mu   sync.Mutex
	next time.Time // when the slot of the next failure comes back at the earliest
}

func newBudget() *budget { return &budget{slots: make(chan struct{}, reopenBurst)} }

// tryTake takes a slot if there is one.
func (b *budget) tryTake() bool {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// take waits for a slot. It returns false when ctx or closed ended first.
func (b *budget) take(ctx context.Context, closed <-chan struct{}) bool {
	select {
	case b.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	case <-closed:
		return false
	}
}

// giveBack gives a slot back.
func (b *budget) giveBack() { <-b.slots }

// giveBackLater gives back the slot of an opening that failed.
func (b *budget) giveBackLater() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.next.Before(now) {
		b.next = now
	}
	b.next = b.next.Add(time.Second / reopenRate)
	time.AfterFunc(b.next.Sub(now), b.giveBack)
}
