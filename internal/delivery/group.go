package delivery

import (
	"sync/atomic"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// Topic is what the readers of one stream wait for together.
type Topic = eventlog.Topic

// group is the connections of a shard that wait for the same: a change wakes it once, however many they are. They form a
// ring that is gone round until none has anything to send:
//
//	next ──▶ c ──▶ c ──▶ c ──▶ (next)       who was served last waits longest, and then takes all that came meanwhile
type group struct {
	shard *shard
	topic Topic
	dirty atomic.Bool // on its way to the shard

	// The shard's own:
	next   *conn // nil: empty
	size   int
	left   int // how many are still to be looked at
	queued bool
}

// Changed tells the shard.
func (g *group) Changed() {
	if !g.dirty.Swap(true) {
		g.shard.changed(g)
	}
}

// add puts c in, as the one who waits longest.
func (g *group) add(c *conn) {
	c.group = g
	g.size++
	if g.next == nil {
		c.after, c.before = c, c
		g.next = c
		return
	}
	c.after, c.before = g.next, g.next.before
	c.before.after, c.after.before = c, c
}

// remove takes c out.
func (g *group) remove(c *conn) {
	g.size--
	switch {
	case g.size == 0:
		g.next = nil
	case g.next == c:
		g.next = c.after
	}
	c.before.after, c.after.before = c.after, c.before
	c.group, c.after, c.before = nil, nil, nil
}

// queue is groups or connections one after the other.
type queue[T any] struct {
	items []*T
	head  int
}

func (q *queue[T]) push(item *T) {
	if q.head > 64 && 2*q.head >= len(q.items) { // a queue that never runs empty does not grow either
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// pop returns the first, nil where there is none.
func (q *queue[T]) pop() *T {
	if q.empty() {
		q.items, q.head = q.items[:0], 0
		return nil
	}
	item := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	return item
}

func (q *queue[T]) empty() bool { return q.head == len(q.items) }
