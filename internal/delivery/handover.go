package delivery

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// generations tells descriptors that are used again from each other.
var generations atomic.Int32

// handOver gives the connection of from, which w is of, to a shard that goes on with it when the caller returns: head and
// the first frames are written here, since every request has a goroutine of its own. It is not ok where that cannot be; from
// is then as it was.
func (d *Server) handOver(from net.Conn, w http.ResponseWriter, r *http.Request, src Source, o Options) (ok bool) {
	if !d.system.hasDescriptor(from) {
		return false
	}
	s := d.join()
	if s == nil {
		return false
	}
	fd, release, ok := d.system.detach(from)
	if !ok {
		s.open.Add(-1)
		d.left()
		return false
	}
	d.taken.Add(1)
	c := &conn{
		token: token{fd: int32(fd), generation: generations.Add(1)}, shard: s, src: src, owner: o.Owner, release: release,
		until: never, heap: -1,
	}
	err := errPanicked
	defer func() { // after a panic, too: nobody else has the descriptor yet
		if err != nil {
			s.abandon(c, err)
		}
	}()
	if err = c.open(d.heads.of(w.Header(), r), o); err == nil {
		s.adopt(c)
		o.Owner.OnKick(c)
	}
	return true
}

// open sets c's times and writes the head, the opening, and what there is already.
func (c *conn) open(head []byte, o Options) error {
	config, now := &c.shard.server.config, c.shard.server.now()
	c.beatAt = now + vary(config.Heartbeat)
	if !c.src.Ageless() {
		c.until = now + vary(config.MaxAge)
	}
	if o.Wait > 0 {
		c.until = min(c.until, now+o.Wait)
	}
	buffer := headBuffers.Get().(*[]byte)
	head = c.src.Opening(append(*buffer, head...), retryFor(o))
	frames, err := c.src.Next(maxWrite)
	if err != nil {
		frames = nil // said again when it is c's turn
	}
	n, err := c.shard.poller.write(int(c.fd), head, frames)
	if err != nil || n >= len(head) {
		takeBack(buffer, head)
	}
	switch {
	case err != nil:
		return err
	case n < len(head):
		if len(frames) != 0 {
			frames = c.src.Short(frames, 0)
		}
		c.rest = append(head[n:], frames...)
	case n < len(head)+len(frames):
		c.then = thenWritten
		c.keep(frames, n-len(head))
	}
	if len(frames) != 0 {
		c.then = thenWritten
	}
	return nil
}

// abandon ends a connection that run has not seen yet.
func (s *shard) abandon(c *conn, err error) {
	s.poller.close(int(c.fd), false)
	if c.release != nil {
		c.release()
	}
	s.open.Add(-1)
	c.owner.Ended(err)
	s.server.left()
}

// retryFor draws the reconnection delay that a response begins with.
func retryFor(o Options) time.Duration {
	if o.Wait > 0 {
		return varyBetween(minPollRetry, maxPollRetry)
	}
	return varyBetween(minRetry, maxRetry)
}
