package access

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Why there is no place for a connection.
var (
	// ErrOverload: all places are taken.
	ErrOverload = errors.New("too many connections")
	// ErrPerIP: the client's address has all that it may have.
	ErrPerIP = errors.New("too many connections from this address")
	// ErrPerPrincipal: the principal has all that it may have, and the request does not come back to a stream.
	ErrPerPrincipal = errors.New("too many connections of this principal")
)

// Limits bound how many connections are served at once. 0 or less is no limit.
type Limits struct {
	// Total is for all clients together. A twentieth of it is kept for those that come back to a stream: what they have is
	// lost when they are turned away for too long.
	Total int
	// PerIP is for one client address. The addresses of one IPv6 network of 64 bits count as one: a single machine has them
	// all.
	PerIP int
	// PerPrincipal is for one principal. It is never applied to anonymous requests.
	PerPrincipal int
}

// Connections hands out places for connections. It is safe for concurrent use.
type Connections struct {
	limits Limits
	born   time.Time

	mu         sync.Mutex
	open       int
	ips        map[netip.Addr]int
	principals map[Principal]*places
}

// places are those of one principal.
type places struct {
	leases []*Lease // oldest first; without those that were kicked
	kicked int      // leases that were kicked and not yet released
}

// NewConnections makes Connections within these limits.
func NewConnections(limits Limits) *Connections {
	return &Connections{limits: limits, born: time.Now(), ips: map[netip.Addr]int{}, principals: map[Principal]*places{}}
}

// Claim is a request for a place.
type Claim struct {
	// IP is the client's address; the zero value is not limited by address.
	IP netip.Addr
	// Principal is who asks.
	Principal Principal
	// Resuming says that the request presents a cursor.
	Resuming bool
	// Known reports whether that cursor is known. It is asked only when the principal is over its limit, and no lock is
	// held. Nil means that it is not.
	Known func() bool
}

// Kickable is what a lease is for, and ends when it is kicked.
type Kickable = interface{ Kick() }

// Lease is one place.
type Lease struct {
	from      *Connections
	ip        netip.Addr   // zero: not counted
	principal Principal    // anonymous: not counted
	kickable  Kickable     // guarded by from.mu; nil: told when it is there
	wasKicked bool         // guarded by from.mu
	released  bool         // guarded by from.mu
	progress  atomic.Int64 // when it was last used, since from.born
}

// Acquire takes a place, or says with [ErrOverload], [ErrPerIP] or [ErrPerPrincipal] why there is none. It never waits.
//
// A request with a known cursor whose principal is over its limit takes the place of that principal's quietest lease,
// which is kicked. A kicked lease no longer counts for its principal and address; in total it does until it is released,
// and a principal that has as many of them as it may have connections gets ErrOverload.
func (c *Connections) Acquire(claim Claim) (*Lease, error) {
	lease, err := c.take(claim, false)
	if errors.Is(err, ErrPerPrincipal) && claim.Known != nil && claim.Known() {
		return c.take(claim, true)
	}
	return lease, err
}

// take takes a place; with kick it may be the one of the principal's quietest lease.
func (c *Connections) take(claim Claim, kick bool) (*Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := c.limits.Total
	if !claim.Resuming {
		total -= c.limits.Total / 20
	}
	if c.limits.Total > 0 && c.open >= total {
		return nil, ErrOverload
	}
	l := &Lease{from: c}
	var quietest *Lease
	if c.limits.PerPrincipal > 0 && !claim.Principal.Anonymous() {
		l.principal = claim.Principal
		mine := c.placesLocked(l.principal)
		switch {
		case len(mine.leases) < c.limits.PerPrincipal:
		case !kick:
			return nil, ErrPerPrincipal
		case mine.kicked >= c.limits.PerPrincipal:
			return nil, ErrOverload
		default:
			quietest = slices.MinFunc(mine.leases, func(a, b *Lease) int { return cmp.Compare(a.progress.Load(), b.progress.Load()) })
		}
	}
	if c.limits.PerIP > 0 && claim.IP.IsValid() {
		l.ip = network(claim.IP)
		taken := c.ips[l.ip]
		if quietest != nil && quietest.ip == l.ip {
			taken--
		}
		if taken >= c.limits.PerIP {
			return nil, ErrPerIP
		}
	}
	if quietest != nil {
		c.kickLocked(quietest)
	}
	c.addLocked(l)
	return l, nil
}

// placesLocked returns those of p, which are remembered only once one of them is taken.
func (c *Connections) placesLocked(p Principal) *places {
	if mine := c.principals[p]; mine != nil {
		return mine
	}
	return &places{}
}

func (c *Connections) addLocked(l *Lease) {
	c.open++
	if l.ip.IsValid() {
		c.ips[l.ip]++
	}
	if !l.principal.Anonymous() {
		mine := c.placesLocked(l.principal)
		mine.leases = append(mine.leases, l)
		c.principals[l.principal] = mine
	}
	l.Progress()
}

// kickLocked ends what l has but its place in total.
func (c *Connections) kickLocked(l *Lease) {
	l.wasKicked = true
	if l.kickable != nil {
		l.kickable.Kick()
	}
	c.leaveLocked(l)
	c.principals[l.principal].kicked++
}

// leaveLocked takes l out of what its address and its principal have.
func (c *Connections) leaveLocked(l *Lease) {
	if l.ip.IsValid() {
		if c.ips[l.ip]--; c.ips[l.ip] == 0 {
			delete(c.ips, l.ip)
		}
	}
	if mine := c.principals[l.principal]; mine != nil {
		mine.leases = slices.DeleteFunc(mine.leases, func(other *Lease) bool { return other == l })
	}
}

// Release gives the place back; more than once does nothing.
func (l *Lease) Release() {
	c := l.from
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.released {
		return
	}
	l.released = true
	c.open--
	if !l.wasKicked {
		c.leaveLocked(l)
	}
	if mine := c.principals[l.principal]; mine != nil {
		if l.wasKicked {
			mine.kicked--
		}
		if len(mine.leases) == 0 && mine.kicked == 0 {
			delete(c.principals, l.principal)
		}
	}
}

// OnKick has k kicked once when another connection of the same principal takes the place, at once if one has. Locks are
// held then: Kick must not wait, nor call the lease. It may be called once.
func (l *Lease) OnKick(k Kickable) {
	c := l.from
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.kickable = k; l.wasKicked {
		k.Kick()
	}
}

// Progress says that the connection was of use just now: the quietest is the one that said so longest ago, or never.
func (l *Lease) Progress() { l.progress.Store(int64(time.Since(l.from.born))) }

// Open returns how many places are taken now.
func (c *Connections) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// network is what addresses are counted by: IPv4 by the address, IPv6 by its 64 bits of network.
func network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return netip.Addr{} // not for a valid address
	}
	return prefix.Addr()
}
