package view

import (
	"math"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// maxBookmarkPause is how long a reader's cursor may stand still behind hidden events.
const maxBookmarkPause = 10 * time.Second

// pace says when a bookmark is due: a quarter of the retention behind what is hidden, the reader could still come back.
type pace struct {
	pause     time.Duration
	maxEvents int
	maxBytes  int

	moved  time.Time // when the reader's cursor last moved
	events int       // hidden since
	bytes  int
	id     []byte // of the last hidden event
}

func newPace(r schema.Retention) pace {
	p := pace{pause: maxBookmarkPause, maxEvents: math.MaxInt, maxBytes: math.MaxInt}
	if r.Age > 0 {
		p.pause = min(p.pause, r.Age/4)
	}
	if r.Events > 0 {
		p.maxEvents = max(1, r.Events/4)
	}
	if r.Bytes > 0 {
		p.maxBytes = max(1, r.Bytes/4)
	}
	return p
}

// hide counts an event that the reader is not shown.
func (p *pace) hide(f *sse.Frame) {
	if len(f.ID) == 0 {
		return
	}
	p.events++
	p.bytes += len(f.Raw)
	p.id = append(p.id[:0], f.ID...)
}

// move says that the reader's cursor has moved: nothing is hidden behind it any more.
func (p *pace) move(now time.Time) { p.moved, p.events, p.bytes = now, 0, 0 }

func (p *pace) due(now time.Time) bool {
	return p.events > 0 && (now.Sub(p.moved) >= p.pause || p.events >= p.maxEvents || p.bytes >= p.maxBytes)
}
