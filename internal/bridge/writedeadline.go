package bridge

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// writeDeadline is a connection's deadline for writes. net/http sets it before every write over HTTP/2 and lifts it after
// most, and to move a timer of the runtime's so often costs as much as much of the write. So it is only noted: one timer,
// which no write touches, looks whether it has passed, and tells the connection then.
//
// Who sets it stores at and then reads the others; who looks stores the others and then reads at. So one of both sees what
// the other has done.
type writeDeadline struct {
	conn   net.Conn
	at     atomic.Int64 // when it is, after epoch; noDeadline: never
	lookAt atomic.Int64 // when the timer looks, at the latest; noDeadline: never
	told   atomic.Bool  // the connection is told that it has passed

	mu     sync.Mutex // held while looking
	timer  *time.Timer
	closed bool
}

const noDeadline = math.MaxInt64

// epoch is what deadlines are counted from.
var epoch = time.Now()

// passed is a deadline that has passed.
var passed = time.Unix(1, 0)

func (d *writeDeadline) init(conn net.Conn) {
	d.conn = conn
	d.at.Store(noDeadline)
	d.lookAt.Store(noDeadline)
}

// set sets the deadline, for a write under way, too; the zero time lifts it.
func (d *writeDeadline) set(t time.Time) {
	at := int64(noDeadline)
	if !t.IsZero() {
		at = max(int64(t.Sub(epoch)), 0) // before is as good as passed
	}
	d.at.Store(at)
	if d.told.Load() || at < d.lookAt.Load() {
		d.look()
	}
}

// look does what the deadline asks for now.
func (d *writeDeadline) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lookAt.Store(noDeadline)
	for !d.closed {
		at := d.at.Load()
		switch left := time.Duration(at) - time.Since(epoch); {
		case left <= 0:
			if !d.told.Swap(true) {
				continue // it may have been moved just before
			}
			_ = d.conn.SetWriteDeadline(passed)
			return
		case d.told.Load():
			_ = d.conn.SetWriteDeadline(time.Time{})
			d.told.Store(false)
			continue // it may be set again just before
		case at == noDeadline:
			return
		default:
			d.armLocked(at, left)
			return
		}
	}
}

// armLocked has the timer look when at has come.
func (d *writeDeadline) armLocked(at int64, left time.Duration) {
	d.lookAt.Store(at)
	if d.timer == nil {
		d.timer = time.AfterFunc(left, d.look)
	} else {
		d.timer.Reset(left)
	}
}

// close ends it.
func (d *writeDeadline) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
