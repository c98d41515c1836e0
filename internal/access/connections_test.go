package access_test

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

var (
	known   = func() bool { return true }
	unknown = func() bool { return false }
	ann     = access.Principal{1}
	bob     = access.Principal{2}
)

// acquire takes a place, which there must be.
func acquire(t *testing.T, c *access.Connections, claim access.Claim) *access.Lease {
	t.Helper()
	l, err := c.Acquire(claim)
	if err != nil {
		t.Fatalf("no place for %+v: %v", claim, err)
	}
	return l
}

// refused checks that there is no place, for this reason.
func refused(t *testing.T, c *access.Connections, claim access.Claim, want error) {
	t.Helper()
	if _, err := c.Acquire(claim); !errors.Is(err, want) {
		t.Errorf("%+v: %v, want %v", claim, err, want)
	}
}

// isKicked reports whether l was kicked.
func isKicked(l *access.Lease) bool {
	var k kick
	l.OnKick(&k)
	return bool(k)
}

type kick bool

func (k *kick) Kick() { *k = true }

func TestConnectionsInTotal(t *testing.T) {
	c := access.NewConnections(access.Limits{Total: 2})
	first := acquire(t, c, access.Claim{})
	acquire(t, c, access.Claim{})
	refused(t, c, access.Claim{}, access.ErrOverload)
	if c.Open() != 2 {
		t.Errorf("%d open, want 2", c.Open())
	}
	first.Release()
	first.Release()
	acquire(t, c, access.Claim{})
	if refused(t, c, access.Claim{}, access.ErrOverload); c.Open() != 2 {
		t.Error("a place that was given back twice counts twice")
	}
	unlimited := access.NewConnections(access.Limits{})
	for range 1000 {
		acquire(t, unlimited, access.Claim{IP: netip.MustParseAddr("10.0.0.1"), Principal: ann})
	}
}

func TestConnectionsKeepPlacesForWhoComesBack(t *testing.T) {
	c := access.NewConnections(access.Limits{Total: 20})
	for range 19 {
		acquire(t, c, access.Claim{})
	}
	refused(t, c, access.Claim{}, access.ErrOverload)
	acquire(t, c, access.Claim{Resuming: true})
	refused(t, c, access.Claim{Resuming: true}, access.ErrOverload)
}

func TestConnectionsPerIP(t *testing.T) {
	for _, tc := range []struct {
		name, a, b string
		same       bool
	}{
		{"one address", "192.0.2.1", "192.0.2.1", true},
		{"two addresses", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two of IPv4 in IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one IPv6 network", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"two IPv6 networks", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"zones", "fe80::1%eth0", "fe80::1%eth1", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := access.NewConnections(access.Limits{PerIP: 1})
			a := acquire(t, c, access.Claim{IP: netip.MustParseAddr(tc.a)})
			b := access.Claim{IP: netip.MustParseAddr(tc.b), Resuming: true, Known: known}
			if !tc.same {
				acquire(t, c, b)
				return
			}
			refused(t, c, b, access.ErrPerIP)
			a.Release()
			acquire(t, c, b)
		})
	}
	c := access.NewConnections(access.Limits{PerIP: 1})
	for range 3 {
		acquire(t, c, access.Claim{}) // a Unix socket has no address
	}
}

func TestConnectionsPerPrincipal(t *testing.T) {
	c := access.NewConnections(access.Limits{PerPrincipal: 1})
	acquire(t, c, access.Claim{Principal: ann})
	refused(t, c, access.Claim{Principal: ann}, access.ErrPerPrincipal)
	refused(t, c, access.Claim{Principal: ann, Resuming: true, Known: unknown}, access.ErrPerPrincipal)
	acquire(t, c, access.Claim{Principal: bob, Known: func() bool {
		t.Error("the cursor was looked up without need")
		return true
	}})
	for range 3 {
		acquire(t, c, access.Claim{Known: known}) // nobody in particular
	}
}

// Who comes back takes the place of the connection that was of no use for the longest time.
func TestConnectionsKickTheQuietest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := access.NewConnections(access.Limits{PerPrincipal: 3})
		other := acquire(t, c, access.Claim{Principal: bob})
		var mine []*access.Lease
		for range 3 {
			mine = append(mine, acquire(t, c, access.Claim{Principal: ann}))
			advance(time.Second)
		}
		mine[0].Progress()
		back := access.Claim{Principal: ann, Resuming: true, Known: known}
		advance(time.Second)
		mine = append(mine, acquire(t, c, back))
		for i, want := range []bool{false, true, false, false} {
			if isKicked(mine[i]) != want {
				t.Errorf("lease %d: kicked %v, want %v", i, !want, want)
			}
		}
		if isKicked(other) {
			t.Error("another principal's connection was kicked")
		}
		refused(t, c, access.Claim{Principal: ann}, access.ErrPerPrincipal)
		mine[1].Release() // late, which changes nothing for who took its place
		refused(t, c, access.Claim{Principal: ann}, access.ErrPerPrincipal)
		mine[1].Release()
		mine[0].Release()
		acquire(t, c, access.Claim{Principal: ann})
	})
}

// advance lets time pass in a bubble.
func advance(d time.Duration) { <-time.After(d) }

// A kicked connection holds a socket until it has ended, so there cannot be any number of them.
func TestConnectionsThatWereKickedAreBounded(t *testing.T) {
	c := access.NewConnections(access.Limits{Total: 100, PerPrincipal: 2})
	back := access.Claim{Principal: ann, Resuming: true, Known: known}
	var all []*access.Lease
	for range 4 {
		all = append(all, acquire(t, c, back))
	}
	if c.Open() != 4 {
		t.Errorf("%d open, want 4: two, and two that were kicked", c.Open())
	}
	refused(t, c, back, access.ErrOverload)
	for _, l := range all {
		if isKicked(l) {
			l.Release()
			break
		}
	}
	acquire(t, c, back)
}

// The place at the address moves with the one of the principal, where it is the same address, and stays where it is not.
func TestConnectionsKickAndAddress(t *testing.T) {
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	c := access.NewConnections(access.Limits{PerIP: 1, PerPrincipal: 1})
	first := acquire(t, c, access.Claim{IP: here, Principal: ann})
	second := acquire(t, c, access.Claim{IP: here, Principal: ann, Known: known})
	if !isKicked(first) {
		t.Error("the first was not kicked")
	}
	first.Release()
	refused(t, c, access.Claim{IP: here, Principal: bob}, access.ErrPerIP)
	acquire(t, c, access.Claim{IP: there, Principal: bob})
	refused(t, c, access.Claim{IP: there, Principal: ann, Known: known}, access.ErrPerIP)
	if isKicked(second) {
		t.Error("a connection was kicked for one that got no place")
	}
}

func TestConnectionsConcurrently(t *testing.T) {
	const limit = 5
	c := access.NewConnections(access.Limits{Total: limit, PerIP: limit, PerPrincipal: 2})
	var held, most, served atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			claim := access.Claim{
				IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 3)}), Principal: access.Principal{byte(i % 4)}, Resuming: i%2 == 0, Known: known,
			}
			for range 200 {
				l, err := c.Acquire(claim)
				if err != nil {
					continue
				}
				served.Add(1)
				n := held.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				l.Progress()
				held.Add(-1)
				l.Release()
			}
		})
	}
	wg.Wait()
	if most.Load() > limit || served.Load() == 0 || c.Open() != 0 {
		t.Errorf("at most %d at once, %d served, %d left", most.Load(), served.Load(), c.Open())
	}
}

// Whatever comes and goes, in any order, no limit is exceeded and no place is lost.
func TestConnectionsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := access.Limits{
			Total: rapid.IntRange(0, 8).Draw(t, "total"), PerIP: rapid.IntRange(0, 3).Draw(t, "per ip"),
			PerPrincipal: rapid.IntRange(0, 3).Draw(t, "per principal"),
		}
		c := access.NewConnections(limits)
		type held struct {
			*access.Lease
			claim access.Claim
		}
		var all []held
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if i := rapid.IntRange(-1, len(all)-1).Draw(t, "release"); i >= 0 && rapid.Bool().Draw(t, "leave") {
				all[i].Release()
				all = append(all[:i], all[i+1:]...)
				continue
			}
			claim := access.Claim{Resuming: rapid.Bool().Draw(t, "resuming"), Known: unknown}
			if claim.Resuming {
				claim.Known = known
			}
			claim.IP = netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(0, 2).Draw(t, "ip"))})
			claim.Principal[0] = byte(rapid.IntRange(0, 2).Draw(t, "principal"))
			if l, err := c.Acquire(claim); err == nil {
				all = append(all, held{l, claim})
			}
			ips, principals := map[netip.Addr]int{}, map[access.Principal]int{}
			for _, h := range all {
				if !isKicked(h.Lease) {
					ips[h.claim.IP]++
					principals[h.claim.Principal]++
				}
			}
			for ip, n := range ips {
				if limits.PerIP > 0 && n > limits.PerIP {
					t.Fatalf("%v has %d places", ip, n)
				}
			}
			for p, n := range principals {
				if limits.PerPrincipal > 0 && n > limits.PerPrincipal && !p.Anonymous() {
					t.Fatalf("a principal has %d places", n)
				}
			}
			if c.Open() != len(all) || limits.Total > 0 && len(all) > limits.Total {
				t.Fatalf("%d open, %d held, at most %d", c.Open(), len(all), limits.Total)
			}
		}
		for _, h := range all {
			h.Release()
		}
		if c.Remembered() != 0 {
			t.Fatalf("%d entries are left", c.Remembered())
		}
	})
}
