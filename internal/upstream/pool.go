package upstream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// ErrPoolFull is the cause of an [outcome.Busy] outcome: the pool has all the connections it may have, and none has
// room for another call.
var ErrPoolFull = errors.New("upstream: every connection of the pool is full")

const (
	// A call that waits longer than this on a connection that is up waits for the end of another call, which for a
	// stream can be for ever: the peer allows no more of them (MAX_CONCURRENT_STREAMS), and grpc-go says nothing.
	maxStreamWait = 100 * time.Millisecond

	// maxStreamWaits is how many such times a call waits at most where the connection may have room after all.
	maxStreamWaits = 10

	// spareIdle closes a connection that was opened for more calls and has none. The first connection stays.
	spareIdle = 5 * time.Minute
)

// pool is the connections to one target.
//
//   - It has at least one, and grows only when a call has waited for a stream, up to max.
//   - Calls go to the first connection that is not known to be full, so that spare ones can fall idle and close.
//   - How many calls a connection takes is learned from calls that waited on it: grpc-go does not tell what the peer
//     allows. A new connection is assumed to be like the others; a connection that was made anew is asked again.
//   - A wait alone proves nothing, since a machine that is busy makes calls wait, too: see lease.mayHaveRoom.
//   - Nobody is refused on a guess: at the limit a call is still tried on the emptiest connection first.
type pool struct {
	u       *Upstream
	target  string
	options []grpc.DialOption
	max     int

	mu          sync.Mutex
	slots       []*slot
	closed      bool
	becameReady chan struct{} // closed, and replaced, when a connection comes up
}

// slot is one member of the pool: one connection to each address of the target. Its numbers are under pool.mu.
type slot struct {
	conn *grpc.ClientConn
	// Calls that were given to this slot; among them those that have a stream, and the most of these that there were since
	// it was connected.
	given, open, peak int
	// The most streams it has been seen to take. 0: not known, so far every call found room.
	limit int
	// lost is set when a connection has ended, until the next one begins.
	lost bool
}

// start opens the first connection.
func (p *pool) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.growLocked()
	if err != nil {
		return err
	}
	s.conn.Connect()
	return nil
}

// growLocked adds a slot. It does not wait for its connection.
func (p *pool) growLocked() (*slot, error) {
	s := &slot{}
	for _, other := range p.slots {
		s.limit = max(s.limit, other.limit)
	}
	idle := time.Duration(0) // never
	if len(p.slots) > 0 {
		idle = spareIdle
	}
	options := append(slices.Clone(p.options), grpc.WithStatsHandler(events{p, s}), grpc.WithIdleTimeout(idle))
	conn, err := grpc.NewClient(p.target, options...)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	first := len(p.slots) == 0
	p.slots = append(p.slots, s)
	p.u.wg.Go(func() { p.watch(s, first) })
	return s, nil
}

// watch wakes held calls whenever the connection comes up, and logs the first one's states.
func (p *pool) watch(s *slot, logged bool) {
	state := connectivity.Idle
	up := true // nothing to say about a backend that is there from the start
	for {
		switch state {
		case connectivity.Ready:
			p.mu.Lock()
			close(p.becameReady)
			p.becameReady = make(chan struct{})
			p.mu.Unlock()
			p.u.hasten()
			if logged && !up {
				p.u.log.Info("the backend is back")
			}
			up = true
		case connectivity.TransientFailure:
			if logged && up {
				p.u.log.Warn("the backend cannot be reached; trying on", "target", p.target)
			}
			up = false
		default: // on the way from one to the other
		}
		if !s.conn.WaitForStateChange(p.u.ctx, state) {
			return
		}
		state = s.conn.GetState()
	}
}

// ready returns a channel that is closed when a connection comes up from now on.
func (p *pool) ready() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.becameReady
}

// connected notes a new transport. Where it follows a lost one the peer may be another, with another limit.
func (p *pool) connected(s *slot) {
	p.mu.Lock()
	if s.lost {
		s.lost, s.limit, s.peak = false, 0, s.open
	}
	p.mu.Unlock()
	p.u.noteChange()
}

// disconnected notes the end of a transport.
func (p *pool) disconnected(s *slot) {
	p.mu.Lock()
	s.lost = true
	p.mu.Unlock()
}

// lease is one call's place in the pool, from its choice of a slot to its end.
type lease struct {
	pool *pool
	slot *slot
	// Streams that were open when the call came.
	before int
	// The most that it had had, then or when it was last asked.
	peak         int
	opened, done bool // under pool.mu
}

// lease finds a place. last is true when every slot is believed full and no more may be made: if the call then waits,
// there is no room.
func (p *pool) lease() (l *lease, last bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false, errClosed
	}
	i := slices.IndexFunc(p.slots, func(s *slot) bool { return s.limit == 0 || s.given < s.limit })
	var s *slot
	switch {
	case i >= 0:
		s = p.slots[i]
	case len(p.slots) < p.max:
		if s, err = p.growLocked(); err != nil {
			return nil, false, err
		}
	default:
		s = slices.MinFunc(p.slots, func(a, b *slot) int { return a.given - b.given })
		last = true
	}
	s.given++
	return &lease{pool: p, slot: s, before: s.open, peak: s.peak}, last, nil
}

// opening notes that the call has a stream.
func (l *lease) opening() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.done {
		return
	}
	l.opened = true
	l.slot.open++
	l.slot.peak = max(l.slot.peak, l.slot.open)
	if l.slot.limit > 0 {
		l.slot.limit = max(l.slot.limit, l.slot.open)
	}
}

// mayHaveRoom reports whether it may be this machine that is slow, rather than the connection that is full: it has no
// stream, or had more of them before, or more than ever since this was asked last.
func (l *lease) mayHaveRoom() bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	s, peak := l.slot, l.peak
	l.peak = s.peak
	return s.open == 0 || s.open < s.peak || s.peak > peak
}

// full notes that the call had to wait: the slot takes no more than it has. It reports whether it has nothing: then
// another connection would take nothing either.
func (l *lease) full() (empty bool) {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	// The larger of then and now, lest calls that end at this moment make the slot look smaller than it is.
	most := max(l.before, l.slot.open)
	l.slot.limit = max(1, most)
	return most == 0
}

// release gives the place back. It may be called more than once.
func (l *lease) release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.done {
		return
	}
	l.done = true
	l.slot.given--
	if l.opened {
		l.slot.open--
	}
}

// open starts a call on a connection that has room for it. It waits while the connection is being made and fails when
// it cannot be made; the error is grpc-go's own, ErrPoolFull, or errClosed.
func (p *pool) open(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts []grpc.CallOption,
) (*rpc, error) {
	for {
		l, last, err := p.lease()
		if err != nil {
			return nil, err
		}
		s, err := l.open(ctx, desc, method, opts)
		if !errors.Is(err, errWaited) {
			return s, err
		}
		if empty := l.full(); last || empty {
			return nil, ErrPoolFull
		}
	}
}

// close closes every connection.
func (p *pool) close() error {
	p.mu.Lock()
	closed := p.slots
	if p.closed {
		closed = nil
	}
	p.closed = true
	p.mu.Unlock()
	var errs []error
	for _, s := range closed {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(errs...)
}
