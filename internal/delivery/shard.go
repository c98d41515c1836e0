package delivery

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// turn is how many connections of one group are looked at before it is another group's turn: a stream with many readers
// must not make one with few wait.
const turn = 128

// goesOn is how many connections that have more to send than one turn allows go on before groups are looked at again.
const goesOn = 16

// shard serves a part of the connections that were taken over, with two goroutines however many they are: run writes,
// listen waits for the kernel. Everything but what mu guards is run's own.
//
//	append ──▶ changed ─┐
//	kernel ──▶ listen ──┼──▶ wake ──▶ run ──▶ group ──▶ serve ──▶ write(2)
//	net/http ▶ adopt ───┘              ▲─── deadlines
type shard struct {
	server *Server
	poller poller
	open   atomic.Int64 // connections, those on their way included
	wake   chan struct{}

	mu       sync.Mutex
	awake    bool // run looks at what follows before it sleeps
	incoming []*conn
	dirty    []*group
	ready    []readiness
	kicks    []*conn
	reset    bool
	stopped  bool

	now       time.Duration // since the server was made; as of the turn's beginning
	over      bool          // whoever comes is reset
	conns     map[int32]*conn
	groups    map[Topic]*group
	queue     queue[group] // those with connections that are to be looked at
	more      queue[conn]  // those with more to send than one turn allows
	deadlines deadlines
	scratch   []byte
	taken     struct { // what was taken from the lists above; kept for its memory
		incoming []*conn
		dirty    []*group
		ready    []readiness
		kicks    []*conn
	}
}

func newShard(d *Server, p poller) *shard {
	return &shard{
		server: d, poller: p, wake: make(chan struct{}, 1), awake: true, conns: map[int32]*conn{}, groups: map[Topic]*group{},
	}
}

// tell changes the lists and wakes run.
func (s *shard) tell(change func()) {
	s.mu.Lock()
	change()
	s.wakeLocked()
	s.mu.Unlock()
}

func (s *shard) wakeLocked() {
	if !s.awake {
		s.awake = true
		s.wake <- struct{}{} // there is room: nobody else sends until run has slept again
	}
}

// changed is called for every append, so without a closure.
func (s *shard) changed(g *group) {
	s.mu.Lock()
	s.dirty = append(s.dirty, g)
	s.wakeLocked()
	s.mu.Unlock()
}

func (s *shard) adopt(c *conn)  { s.tell(func() { s.incoming = append(s.incoming, c) }) }
func (s *shard) kicked(c *conn) { s.tell(func() { s.kicks = append(s.kicks, c) }) }
func (s *shard) resetAll()      { s.tell(func() { s.reset = true }) }

// stop ends run and listen. No connection is left.
func (s *shard) stop() {
	s.tell(func() { s.stopped = true })
	s.poller.stop()
}

// listen hands on what the kernel tells.
func (s *shard) listen() {
	events := make([]readiness, 128)
	for {
		n, err := s.poller.wait(events)
		if err != nil {
			if !errors.Is(err, errPollerStopped) {
				s.server.config.Logger.Error("connections are no longer polled", "cause", err)
				s.resetAll()
			}
			return
		}
		s.tell(func() { s.ready = append(s.ready, events[:n]...) })
	}
}

// run serves until stop.
func (s *shard) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.now = s.server.now()
		if s.take() {
			return
		}
		s.expire()
		s.goOn()
		for visited := 0; visited < turn; {
			g := s.queue.pop()
			if g == nil {
				if s.more.empty() {
					s.sleep(timer)
				}
				break
			}
			visited += s.visit(g)
		}
		runtime.Gosched() // writing has no end while there is load: who receives events must not wait for it
	}
}

// sleep waits until there is something to do.
func (s *shard) sleep(timer *time.Timer) {
	s.mu.Lock()
	if len(s.incoming)+len(s.dirty)+len(s.ready)+len(s.kicks) != 0 || s.reset || s.stopped {
		s.mu.Unlock()
		return
	}
	s.awake = false
	s.mu.Unlock()
	first := s.deadlines.first()
	if first == nil {
		<-s.wake
		return
	}
	timer.Reset(first.lookAt - s.server.now())
	select {
	case <-s.wake:
	case <-timer.C:
		s.mu.Lock()
		if s.awake { // somebody woke it at the same time
			<-s.wake
		}
		s.awake = true
		s.mu.Unlock()
	}
}

// take does what others have asked for since the last time, and reports whether that was to stop.
func (s *shard) take() (stopped bool) {
	t := &s.taken
	s.mu.Lock()
	t.incoming, s.incoming = s.incoming, t.incoming[:0]
	t.dirty, s.dirty = s.dirty, t.dirty[:0]
	t.ready, s.ready = s.ready, t.ready[:0]
	t.kicks, s.kicks = s.kicks, t.kicks[:0]
	reset, stopped := s.reset, s.stopped
	s.reset = false
	s.mu.Unlock()
	for _, c := range t.incoming {
		s.welcome(c)
	}
	for _, g := range t.dirty {
		g.dirty.Store(false) // before its connections look
		s.enqueue(g)
	}
	for _, r := range t.ready {
		s.handle(r)
	}
	for _, c := range t.kicks {
		if !c.ended && len(c.rest) == 0 {
			s.attend(c)
		}
	}
	if reset {
		s.over = true
		for _, c := range s.conns {
			s.end(c, errShutdown)
		}
	}
	clear(t.incoming) // else they would be kept for as long as nothing else comes
	clear(t.dirty)
	clear(t.kicks)
	return stopped
}

// welcome begins to serve c.
func (s *shard) welcome(c *conn) {
	defer s.rescue(c)
	s.conns[c.fd] = c
	if s.over {
		s.end(c, errShutdown)
		return
	}
	if err := s.poller.add(c.token); err != nil {
		s.end(c, err)
		return
	}
	s.follow(c)
	if len(c.rest) != 0 {
		s.waitForRoom(c)
		return
	}
	s.schedule(c)
	s.attend(c)
}

// handle does what the kernel's news ask for.
func (s *shard) handle(r readiness) {
	c := s.conns[r.fd]
	switch {
	case c == nil || c.generation != r.generation:
	case r.gone:
		s.end(c, errGone)
	case r.room && len(c.rest) != 0:
		s.attend(c)
	}
}

// expire looks at the connections whose time has come.
func (s *shard) expire() {
	for c := s.deadlines.first(); c != nil && c.lookAt <= s.now; c = s.deadlines.first() {
		s.due(c)
	}
}

// enqueue has every connection of g looked at.
func (s *shard) enqueue(g *group) {
	g.left = g.size
	if !g.queued && g.size != 0 {
		g.queued = true
		s.queue.push(g)
	}
}

// visit is g's turn. It returns at how many connections it looked.
func (s *shard) visit(g *group) (looked int) {
	s.now = s.server.now()
	for most := min(g.left, turn); looked < most && g.next != nil; looked++ {
		c := g.next
		g.next = c.after
		g.left--
		if len(c.rest) == 0 {
			s.attend(c)
		}
	}
	if g.left > 0 && g.size > 0 {
		s.queue.push(g)
	} else {
		g.queued = false
	}
	return looked
}

// rescue is deferred around what calls c's source. One that panics costs its own connection, as it would in a handler of
// net/http's.
func (s *shard) rescue(c *conn) {
	if p := recover(); p != nil {
		s.server.config.Logger.Error("a source panicked", "cause", p, "stack", string(debug.Stack()))
		s.end(c, errPanicked)
	}
}

// attend serves c, and has it go on later where there is more than for one turn.
func (s *shard) attend(c *conn) {
	defer s.rescue(c)
	if s.serve(c) && !c.again {
		c.again = true
		s.more.push(c)
	}
}

// goOn gives another turn to some of those that have more to send.
func (s *shard) goOn() {
	for range goesOn {
		c := s.more.pop()
		if c == nil {
			return
		}
		if c.again = false; !c.ended && len(c.rest) == 0 {
			s.attend(c)
		}
	}
}

// groupOf is the group of the connections that wait for topic.
func (s *shard) groupOf(topic Topic) *group {
	g := s.groups[topic]
	if g == nil {
		g = &group{shard: s, topic: topic}
		topic.Watch(g)
		s.groups[topic] = g
	}
	return g
}

// ungroup takes c out of its group, which ends with its last connection.
func (s *shard) ungroup(c *conn) {
	g := c.group
	if g == nil {
		return
	}
	g.remove(c)
	if g.size == 0 {
		g.topic.Unwatch(g)
		delete(s.groups, g.topic)
	}
}
