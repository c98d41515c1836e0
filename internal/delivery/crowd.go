package delivery

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// atOnce is how many responses are roused before what they do gets its turn. All that one delivery needs is then still in
// the processor's caches: over HTTP/2 three goroutines take part in it, one after the other, and each would otherwise run
// for all responses before the next one does. Fewer at once would be no better there.
const atOnce = 16

// longTurn is when giving way has taken long: others, up to sixty of them, use the processors for as long as they may, 10 ms
// each. Twice as many are then roused the next time, or the last of ten thousand would wait for seconds.
const longTurn = time.Millisecond

// crowds are the responses that goroutines serve, by what they wait for.
type crowds struct {
	mu sync.Mutex
	of map[Topic]*crowd
}

// crowd is the responses that wait for the same. A change rouses them all, in a goroutine that there is for as long as
// that takes. It waits for nobody, so nobody waits for it.
type crowd struct {
	topic Topic
	state atomic.Int32

	mu      sync.Mutex
	members []*serving
}

// What goes on in a crowd.
const (
	nothing    = iota
	rousing    // there is the goroutine
	rouseAgain // there is, and something has changed since it began
)

// Changed has all look.
func (c *crowd) Changed() {
	for {
		state := c.state.Load()
		if state == rouseAgain {
			return
		}
		if c.state.CompareAndSwap(state, state+1) {
			if state == nothing {
				go c.rouse()
			}
			return
		}
	}
}

// rouse rouses all until nothing changes any more.
func (c *crowd) rouse() {
	for again := true; again; again = !c.state.CompareAndSwap(rousing, nothing) {
		c.state.Store(rousing)
		most := atOnce
		for left := c.rouseBelow(math.MaxInt, most); left > 0; left = c.rouseBelow(left, most) {
			gaveWay := time.Now()
			runtime.Gosched()
			if time.Since(gaveWay) < longTurn {
				most = atOnce
			} else {
				most *= 2
			}
		}
	}
}

// rouseBelow rouses some, at most so many and the last of the first n, and returns how many are left before them. From the
// end to the front nobody is left out: who leaves is replaced by the last, and who comes, comes behind all and looks by
// itself.
func (c *crowd) rouseBelow(n, most int) (left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.members))
	left = max(0, n-most)
	for _, s := range c.members[left:n] {
		s.rouse()
	}
	return left
}

// follow moves s to the crowd of what its source waits for now, and reports whether that is another one.
func (cs *crowds) follow(s *serving) bool {
	topic := s.src.Topic()
	if s.crowd != nil && s.crowd.topic == topic || s.crowd == nil && topic == nil {
		return false
	}
	cs.leave(s)
	if topic != nil {
		cs.join(s, topic)
	}
	return true
}

func (cs *crowds) join(s *serving, topic Topic) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.of[topic]
	if c == nil {
		c = &crowd{topic: topic}
		topic.Watch(c)
		if cs.of == nil {
			cs.of = make(map[Topic]*crowd)
		}
		cs.of[topic] = c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.crowd, s.index = c, len(c.members)
	c.members = append(c.members, s)
}

// leave takes s out of its crowd, which ends with its last member.
func (cs *crowds) leave(s *serving) {
	c := s.crowd
	if c == nil {
		return
	}
	s.crowd = nil
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.remove(s) == 0 {
		delete(cs.of, c.topic)
		c.topic.Unwatch(c)
	}
}

// remove puts the last member in the place of s, and returns how many there are then.
func (c *crowd) remove(s *serving) (left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left = len(c.members) - 1
	last := c.members[left]
	c.members[s.index], last.index = last, s.index
	c.members[left] = nil
	c.members = c.members[:left]
	return left
}
