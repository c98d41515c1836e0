package delivery

import (
	"errors"
	"time"
)

// Bare is a shard without goroutines, whose clients take everything at once and for nothing.
type Bare struct {
	shard *shard
	// Written counts bytes.
	Written int
	fd      int32
}

// NewBare makes one.
func NewBare() *Bare {
	b := &Bare{}
	d := New(Config{Heartbeat: time.Hour, MaxAge: 24 * time.Hour, WriteTimeout: time.Hour})
	b.shard = newShard(d, b)
	return b
}

// Join adds a connection.
func (b *Bare) Join(src Source, owner Owner) {
	b.fd++
	c := &conn{token: token{fd: b.fd}, shard: b.shard, src: src, owner: owner, until: never, beatAt: never, heap: -1}
	b.shard.open.Add(1)
	b.shard.server.open.Add(1)
	b.shard.welcome(c)
}

// Work does all that there is to do, as run does, and returns at how many connections it looked.
func (b *Bare) Work() (visited int) {
	s := b.shard
	for idle := false; !idle || len(s.dirty) != 0; {
		s.now = s.server.now()
		s.take()
		s.expire()
		for looked := 0; looked < turn; {
			g := s.queue.pop()
			if idle = g == nil; idle {
				break
			}
			n := s.visit(g)
			looked += n
			visited += n
		}
	}
	return visited
}

func (b *Bare) add(token) error       { return nil }
func (b *Bare) awaitRoom(token) error { return nil }
func (b *Bare) close(int, bool)       {}
func (b *Bare) stop()                 {}

func (b *Bare) write(_ int, first, second []byte) (int, error) {
	b.Written += len(first) + len(second)
	return len(first) + len(second), nil
}

func (b *Bare) wait([]readiness) (int, error) { return 0, errors.New("nobody waits") }

// MostVisits is at how many connections of others a shard looks at most before a group that has just changed has its turn:
// those of the turn that is under way, and of one more of each group.
func MostVisits(groups int) int { return (groups + 1) * turn }

type nobody struct{}

func (nobody) OnKick(Kickable) {}
func (nobody) Progress()       {}
func (nobody) Ended(error)     {}

// Nobody owns connections that nobody wants to know anything of.
var Nobody Owner = nobody{}
