package delivery

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// conn is a connection that a shard serves: a descriptor, a source, and what the client has not taken yet. There are as
// many as there are readers, so it is small; nothing of net/http's is kept.
//
// rest is the end of a write that the client did not take whole. As long as it is there nothing else is sent.
type conn struct {
	token
	shard   *shard
	src     Source
	owner   Owner
	release func() // nil: nobody counts the descriptor
	rest    []byte
	then    next
	kicked  atomic.Bool
	watched bool // the poller tells when there is room
	ended   bool
	again   bool // it is among those that have more to send

	group         *group // nil: src waits for nothing
	before, after *conn  // in the group's ring

	told       int           // the outage that the client has been told of
	progressAt time.Duration // when the owner may be told again
	beatAt     time.Duration // when a beat is due, if nothing is sent until then
	until      time.Duration // when the connection is too old
	stuck      time.Duration // since when the client has taken nothing of rest
	lookAt     time.Duration
	heap       int32 // place in the shard's deadlines, -1 for none
}

// next is what follows when everything is written.
type next int8

const (
	thenNothing next = iota
	thenWritten      // src is told that its frames are
	thenEnd          // the response ends
)

// Bounds of one turn.
const (
	// maxTurn is after how many bytes it is another connection's turn.
	maxTurn = 256 << 10
	// progressEvery is how seldom an owner is told of progress.
	progressEvery = time.Second
	// maxCopy is how much of an unfinished frame is copied rather than kept where it is: a reader that is stuck must not
	// hold a whole segment of the log for its sake.
	maxCopy = 16 << 10
)

var (
	errStuck    = errors.New("delivery: the client takes nothing")
	errPanicked = errors.New("delivery: the source panicked")
	errShutdown = errors.New("delivery: the server has been shut down")
)

// Kick makes the response end.
func (c *conn) Kick() {
	if !c.kicked.Swap(true) {
		c.shard.kicked(c)
	}
}

// serve sends what there is until there is nothing more or the client takes no more. It reports whether there is more,
// and it is only another one's turn.
func (s *shard) serve(c *conn) (more bool) {
	if len(c.rest) != 0 && !s.flush(c) {
		return false
	}
	for sent := 0; sent < maxTurn; {
		switch c.then {
		case thenNothing:
		case thenWritten:
			c.then = thenNothing
			c.src.Written()
			if s.now >= c.progressAt {
				c.progressAt = s.now + progressEvery
				c.owner.Progress()
			}
		case thenEnd:
			s.end(c, nil)
			return false
		}
		n, ok := s.step(c)
		if !ok {
			return false
		}
		sent += n
	}
	return true
}

// step sends what comes next, and how much that is. It is not ok where the client is to be waited for, or there is
// nothing, or the response has ended.
func (s *shard) step(c *conn) (sent int, ok bool) {
	switch {
	case c.kicked.Load():
		return 0, s.leave(c, s.server.config.KickReason)
	case s.now >= c.until:
		return 0, s.leave(c, "")
	}
	frames, err := c.src.Next(maxWrite)
	switch {
	case errors.Is(err, io.EOF):
		s.end(c, nil)
		return 0, false
	case err != nil:
		s.end(c, err)
		return 0, false
	case len(frames) != 0:
		return len(frames), s.send(c, frames, thenWritten)
	}
	if frame, outage := c.src.Waiting(); outage != 0 && outage != c.told {
		c.told = outage
		return len(frame), s.send(c, frame, thenNothing)
	}
	return 0, s.follow(c)
}

// send writes b and reports whether the client has taken it all. The rest is kept.
func (s *shard) send(c *conn, b []byte, then next) bool {
	n, err := s.poller.write(int(c.fd), b, nil)
	if err != nil {
		s.end(c, err)
		return false
	}
	c.then = then
	c.beatAt = s.now + vary(s.server.config.Heartbeat)
	if n == len(b) {
		return true
	}
	c.keep(b, n)
	s.waitForRoom(c)
	return false
}

// keep keeps what was not written of b.
func (c *conn) keep(b []byte, n int) {
	if c.then == thenWritten {
		c.rest = c.src.Short(b, n)
	} else {
		c.rest = b[n:]
	}
	if c.then != thenWritten || len(c.rest) <= maxCopy {
		c.rest = bytes.Clone(c.rest)
	}
}

// waitForRoom has the shard told when the client takes bytes again, and looks at it when it has not for too long.
func (s *shard) waitForRoom(c *conn) {
	c.stuck = s.now
	if !c.watched {
		c.watched = true
		if err := s.poller.awaitRoom(c.token); err != nil {
			s.end(c, err)
			return
		}
	}
	s.schedule(c)
}

// flush writes what is left, and reports whether all of it is.
func (s *shard) flush(c *conn) bool {
	n, err := s.poller.write(int(c.fd), c.rest, nil)
	if err != nil {
		s.end(c, err)
		return false
	}
	if n > 0 {
		c.stuck = s.now
	}
	if c.rest = c.rest[n:]; len(c.rest) != 0 {
		return false
	}
	c.rest = nil
	c.beatAt = s.now + vary(s.server.config.Heartbeat)
	s.schedule(c)
	return true
}

// leave says what is said before the response ends early; the end follows when that is written. It reports whether it is.
func (s *shard) leave(c *conn, reason string) bool {
	last, err := c.src.Leave(s.scratch[:0], reason)
	if err != nil {
		s.end(c, err)
		return false
	}
	s.scratch = last
	if len(last) == 0 {
		c.then = thenEnd
		return true
	}
	return s.send(c, last, thenEnd)
}

// follow moves c to the group of what its source waits for now, and reports whether that is another one.
func (s *shard) follow(c *conn) bool {
	topic := c.src.Topic()
	if c.group != nil && c.group.topic == topic || c.group == nil && topic == nil {
		return false
	}
	s.ungroup(c)
	if topic != nil {
		s.groupOf(topic).add(c)
	}
	return true
}

// due does what c's time has come for.
func (s *shard) due(c *conn) {
	defer s.rescue(c)
	switch {
	case len(c.rest) != 0:
		s.lastTry(c)
	case s.now >= c.until:
		s.attend(c)
	case s.now >= c.beatAt:
		s.beat(c)
	}
	if !c.ended {
		s.deadlines.set(c, s.dueAt(c))
	}
}

// lastTry ends a response whose client has taken nothing for too long. The kernel tells of room only when there is much of
// it, so that a client that is very slow is tried first.
func (s *shard) lastTry(c *conn) {
	late := func() bool { return s.now-c.stuck >= s.server.config.WriteTimeout }
	switch {
	case !late():
	case s.flush(c):
		s.attend(c)
	case !c.ended && late():
		s.end(c, errStuck)
	}
}

// beat sends what shows that the connection lives; not where something was written a turn ago that src has not been told
// of, since that would be forgotten.
func (s *shard) beat(c *conn) {
	s.scratch = s.scratch[:0]
	if c.then == thenNothing {
		s.scratch = c.src.Beat(s.scratch)
	}
	if len(s.scratch) != 0 {
		s.send(c, s.scratch, thenNothing)
	} else {
		c.beatAt = s.now + vary(s.server.config.Heartbeat)
	}
}

// dueAt is when c is to be looked at if nothing happens.
func (s *shard) dueAt(c *conn) time.Duration {
	if len(c.rest) != 0 {
		return c.stuck + s.server.config.WriteTimeout
	}
	return min(c.beatAt, c.until)
}

// schedule sees to it that c is looked at in time.
func (s *shard) schedule(c *conn) {
	if at := s.dueAt(c); c.heap < 0 || at < c.lookAt {
		s.deadlines.set(c, at)
	}
}

// end ends the response, cleanly or, after an error, so that the client sees it cut.
func (s *shard) end(c *conn, err error) {
	if c.ended {
		return
	}
	c.ended = true
	c.rest = nil
	s.deadlines.drop(c)
	s.ungroup(c)
	delete(s.conns, c.fd)
	s.open.Add(-1)
	s.poller.close(int(c.fd), err == nil)
	if c.release != nil {
		c.release()
	}
	c.owner.Ended(err)
	s.server.left()
}
