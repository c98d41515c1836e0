package script

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// maxLogPayload is the largest payload of an event in a log, in bytes.
const maxLogPayload = 1 << 20

// log is one log: where it begins and ends, and who waits for more.
type log struct {
	mu      sync.Mutex
	def     *scriptv1.Log // replaced as a whole, never changed
	links   *links
	extra   uint64        // events that were appended since def
	least   uint64        // the head when def came: a log does not get shorter
	changed chan struct{} // closed and replaced when def or extra changes
	stop    *interrupt    // replaced when it is used
}

// interrupt ends the calls that hold it.
type interrupt struct {
	at    chan struct{}  // closed to end them
	fail  *scriptv1.Fail // how; nil cuts their connections. It may be read when at is closed
	calls uint32         // how many hold it; under log.mu
}

func newLog(stream string) *log {
	return &log{
		def: &scriptv1.Log{Stream: stream}, links: newLinks(stream, 0),
		changed: make(chan struct{}), stop: &interrupt{at: make(chan struct{})},
	}
}

// moment is a log as it was when somebody looked.
type moment struct {
	def          *scriptv1.Log
	links        *links
	oldest, head uint64
	changed      <-chan struct{}
	due          time.Time // when the clock adds the next event; zero for never
	behind       uint64    // by how much the head is ahead of what def, extra and the clock say
}

func (l *log) now() moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nowLocked()
}

func (l *log) nowLocked() moment {
	m := moment{def: l.def, links: l.links, changed: l.changed}
	sum := l.def.GetHead() + l.extra
	if every := l.def.GetEvery().AsDuration(); every > 0 {
		begin, ticks := l.def.GetBegin().AsTime(), int64(0)
		if now := time.Now(); !now.Before(begin) {
			ticks = int64(now.Sub(begin)/every) + 1
		}
		sum += uint64(ticks)
		m.due = begin.Add(time.Duration(ticks) * every)
	}
	m.head = max(sum, l.least)
	m.behind = m.head - sum
	if last := l.def.GetLast(); last > 0 && m.head >= last {
		m.head, m.due = last, time.Time{}
	}
	m.oldest = max(l.def.GetFirst(), 1)
	if keep := l.def.GetKeep(); keep > 0 && m.head > keep {
		m.oldest = max(m.oldest, m.head-keep+1)
	}
	return m
}

// over reports whether event n will never be.
func (m moment) over(n uint64) bool { return m.def.GetLast() > 0 && n > m.def.GetLast() }

func (l *log) define(def *scriptv1.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.least, l.extra = l.nowLocked().head, 0
	if def.GetBegin() == nil {
		def.Head = max(def.GetHead(), l.least)
		def.Begin = timestamppb.Now()
	}
	if def.GetSize() != l.def.GetSize() {
		l.links = newLinks(def.GetStream(), def.GetSize())
	}
	l.def = def
	l.changeLocked()
}

func (l *log) grow(count uint64) (head uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extra += count + l.nowLocked().behind
	l.changeLocked()
	return l.nowLocked().head
}

func (l *log) changeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// hold returns what can end a call that begins now, and a function for its end.
func (l *log) hold() (*interrupt, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.stop
	i.calls++
	return i, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		i.calls--
	}
}

func (l *log) interrupt(fail *scriptv1.Fail) (calls uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop.fail = fail
	close(l.stop.at)
	calls = l.stop.calls
	l.stop = &interrupt{at: make(chan struct{})}
	return calls
}

func (b *Backend) log(stream string) *log {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.logs[stream]
	if !ok {
		l = newLog(stream)
		b.logs[stream] = l
	}
	return l
}

// DefineLog says what the log def.stream is like; see scriptv1.Log. Calls that read it go on. It fails where def makes
// no sense.
func (b *Backend) DefineLog(def *scriptv1.Log) error {
	def = proto.CloneOf(def)
	every := def.GetEvery()
	switch {
	case def.GetStream() == "":
		return fmt.Errorf("stream is empty: give the log a name")
	case def.GetSize() > maxLogPayload:
		return fmt.Errorf("size is %d: at most %d bytes", def.GetSize(), maxLogPayload)
	case def.GetHead() > maxFrom:
		return fmt.Errorf("head is %d: at most %d", def.GetHead(), maxFrom)
	case every != nil && (every.CheckValid() != nil || every.AsDuration() <= 0):
		return fmt.Errorf("every is %v: give a duration above zero", every)
	case def.GetBegin() != nil && def.GetBegin().CheckValid() != nil:
		return fmt.Errorf("begin is %v: give a time", def.GetBegin())
	}
	b.log(def.GetStream()).define(def)
	return nil
}

// Append adds count events to a log and returns the number of its newest event.
func (b *Backend) Append(stream string, count uint64) (head uint64) { return b.log(stream).grow(count) }

// Compact makes first the oldest event of a log. Calls that are behind it go on; new ones cannot begin before it.
func (b *Backend) Compact(stream string, first uint64) {
	l := b.log(stream)
	l.mu.Lock()
	defer l.mu.Unlock()
	def := proto.CloneOf(l.def)
	def.First = first
	l.def = def
	l.changeLocked()
}

// Bounds returns the numbers of a log's oldest and newest event; head is 0 for an empty one.
func (b *Backend) Bounds(stream string) (oldest, head uint64) {
	m := b.log(stream).now()
	return m.oldest, m.head
}

// State returns the number of the newest event of each key of a log, without the keys that are deleted.
func (b *Backend) State(stream string) map[string]uint64 {
	m := b.log(stream).now()
	return newest(m.def, m.head)
}

// Interrupt ends all calls that read a log, with fail; without it their connections are cut, and with those all that
// runs on them. It returns how many calls there were, and does not wait for their end.
func (b *Backend) Interrupt(stream string, fail *scriptv1.Fail) (calls uint32) {
	return b.log(stream).interrupt(fail)
}

// start is the number of the event with which a call begins, and the numbers of those that come before it under
// BEGIN_SNAPSHOT.
func (m moment) start(c cursor) (next uint64, snapshot map[string]uint64, err error) {
	if c.given && !m.def.GetIgnoreCursor() {
		next, err = m.resume(c)
		return next, nil, err
	}
	switch m.def.GetBeginAt() {
	case scriptv1.Begin_BEGIN_LIVE:
		return m.head + 1, nil, nil
	case scriptv1.Begin_BEGIN_SNAPSHOT:
		return m.head + 1, newest(m.def, m.head), nil
	default:
		return m.oldest, nil, nil
	}
}

func (m moment) resume(c cursor) (next uint64, err error) {
	n := c.sequence
	if c.token != "" {
		var ok bool
		if n, ok = m.links.number(c.token, m.head); !ok {
			return 0, status.Errorf(codes.NotFound, "no event has the token %q", c.token)
		}
	}
	if n > m.head {
		return 0, status.Errorf(codes.OutOfRange, "event %d has not happened: the newest is %d", n, m.head)
	}
	if !c.inclusive {
		n++
	}
	if n < m.oldest {
		return 0, status.Errorf(codes.OutOfRange, "event %d is no longer kept: the oldest is %d", n, m.oldest)
	}
	return max(m.oldest, n-min(n, m.def.GetOverlap())), nil
}
