package feed

import (
	"errors"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
)

const (
	// maxClients bounds the cursors kept for clients, all together. Half of them are for clients with a principal: whoever
	// can connect can invent names.
	maxClients = 1 << 16
	// expireEvery is how often a full store looks for what has expired.
	expireEvery = time.Minute
	// clientAge is how long a cursor is kept that nobody uses, the end of a stream included.
	clientAge = 24 * time.Hour
)

// ErrUnknownAck says that an id cannot be acknowledged: it is none of a stream that the client reads.
var ErrUnknownAck = errors.New("feed: the id is none of a stream that this client reads")

// clients keeps cursors for clients that name themselves (sse.client_id). A client's cursor moves when the client says
// so, and only forward.
type clients struct {
	now func() time.Time

	mu        sync.Mutex
	cursors   map[client]*kept
	anonymous int // how many of them
	expired   time.Time
}

// client is one stream of one named client. The check stands for method and request: two streams of the same client
// that share it by chance (30 bits) would share a cursor, which the one that it is not of finds unknown.
type client struct {
	principal access.Principal
	name      string
	check     event.Check
}

type kept struct {
	id   event.ID
	text string
	used time.Time
}

// recall puts the cursor kept for the client in the place of what it presents. Where none is kept, what it presents counts:
// the bridge has forgotten the other one, and what is missing must not go unsaid.
func (f *Feed) recall(d *demand) error {
	if d.ClientID == "" {
		return nil
	}
	c := &f.clients
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.cursors[d.client()]; k != nil {
		k.used = c.now()
		d.Cursor = k.text
		return nil
	}
	if c.fullLocked(d.Principal) {
		c.expireLocked()
	}
	if c.fullLocked(d.Principal) {
		return &BusyError{Reason: "overload"}
	}
	return nil
}

func (c *clients) fullLocked(principal access.Principal) bool {
	return len(c.cursors) >= maxClients || principal.Anonymous() && c.anonymous >= maxClients/2
}

// remember keeps where a client begins that has no cursor yet: id, which it is told in stream.open. A client that is told
// of a status instead has begun nothing.
func (c *clients) remember(name client, id event.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cursors[name] == nil {
		c.cursors[name] = &kept{id: id, text: id.String(), used: c.now()}
		if name.principal.Anonymous() {
			c.anonymous++
		}
	}
}

func (d *demand) client() client {
	return client{principal: d.Principal, name: d.ClientID, check: d.check}
}

// Ack moves the cursor that is kept for the principal's client name to id. An id at or before it changes nothing. It is
// ErrUnknownAck for an id that is none of the client's streams, or of one that is no longer kept.
func (f *Feed) Ack(principal access.Principal, name string, id event.ID) error {
	check := id.Check
	if !id.End {
		f.mu.Lock()
		r := f.runs[id.Mark.Run()]
		f.mu.Unlock()
		switch {
		case r != nil && !r.isOpenTo(principal):
			return ErrUnknownAck
		case r != nil && r.knows(id):
			check = r.check
		case id.Backend == nil: // else the id says itself which stream it is of: an event of a call that caught up
			return ErrUnknownAck
		}
	}
	c := &f.clients
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.cursors[client{principal: principal, name: name, check: check}]
	if k == nil {
		return ErrUnknownAck
	}
	k.used = c.now()
	// Positions rise, and the end comes last. A snapshot's events lie before its end, whatever their positions.
	if id.Position > k.id.Position || id.End && !k.id.End || id.Position == k.id.Position && id.Snapshot != k.id.Snapshot && id.Snapshot == 0 {
		k.id, k.text = id, id.String()
	}
	return nil
}

// expireLocked drops the cursors that nobody has used for long.
func (c *clients) expireLocked() {
	now := c.now()
	if now.Sub(c.expired) < expireEvery {
		return
	}
	c.expired = now
	for name, k := range c.cursors {
		if now.Sub(k.used) <= clientAge {
			continue
		}
		delete(c.cursors, name)
		if name.principal.Anonymous() {
			c.anonymous--
		}
	}
}
