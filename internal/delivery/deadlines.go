package delivery

import (
	"container/heap"
	"math"
	"time"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// deadlines are the connections of a shard by when they are to be looked at next. That is not moved with every write: a
// connection that is looked at too early is put back.
type deadlines struct{ conns []*conn }

// Len, Less and Swap are for package heap.
func (d *deadlines) Len() int           { return len(d.conns) }
func (d *deadlines) Less(i, j int) bool { return d.conns[i].lookAt < d.conns[j].lookAt }
func (d *deadlines) Swap(i, j int) {
	d.conns[i], d.conns[j] = d.conns[j], d.conns[i]
	d.conns[i].heap, d.conns[j].heap = int32(i), int32(j)
}

// Push is for package heap.
func (d *deadlines) Push(x any) {
	c, _ := x.(*conn)
	c.heap = int32(len(d.conns))
	d.conns = append(d.conns, c)
}

// Pop is for package heap.
func (d *deadlines) Pop() any {
	last := len(d.conns) - 1
	c := d.conns[last]
	d.conns[last] = nil
	d.conns = d.conns[:last]
	c.heap = -1
	return c
}

// first is the connection that is due first, nil for none.
func (d *deadlines) first() *conn {
	if len(d.conns) == 0 {
		return nil
	}
	return d.conns[0]
}

// set makes c due at the time.
func (d *deadlines) set(c *conn, at time.Duration) {
	c.lookAt = at
	if c.heap < 0 {
		heap.Push(d, c)
	} else {
		heap.Fix(d, int(c.heap))
	}
}

// drop forgets c.
func (d *deadlines) drop(c *conn) {
	if c.heap >= 0 {
		heap.Remove(d, int(c.heap))
	}
}
