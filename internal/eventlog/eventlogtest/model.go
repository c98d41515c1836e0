package eventlogtest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

var modelCases = []testCase{{
	"whatever is done in whatever order, logs do what a slice would",
	"the other cases are those that somebody thought of",
	func(t *testing.T, open Open) {
		rapid.Check(t, func(t *rapid.T) { newWorld(t, open).play(t) })
	},
}}

const (
	mostLogs  = 3
	mostBytes = 100_000 // of a record
	// The contract of the budget: what it leaves of a sent part.
	sentFloor = 256 << 10
)

// world is a few logs, their models, and what they share.
type world struct {
	open   Open
	clock  *clock
	budget *eventlog.Budget
	limit  int64 // the budget's; 0: there is none
	models []*model
}

// model is a log as a slice.
type model struct {
	log     Log
	o       eventlog.Options
	records []record // all that were appended
	first   int      // how many are no longer kept
	written int      // how many were written to a reader, or dropped
	parts   []part   // the generations
	readers int
	sealed  time.Time
	ended   bool // the last record is the end
	closed  bool
	evicted bool
}

type record struct {
	size int
	at   time.Time
	pos  event.Position
}

func newWorld(t *rapid.T, open Open) *world {
	w := &world{open: open, clock: newClock()}
	if w.limit = rapid.SampledFrom([]int64{0, 1, 200_000, 1 << 20, 3 << 20}).Draw(t, "budget"); w.limit > 0 {
		w.budget = eventlog.NewBudget(w.limit)
	}
	for range rapid.IntRange(1, mostLogs).Draw(t, "logs") {
		w.models = append(w.models, w.newModel(t))
	}
	return w
}

func (w *world) newModel(t *rapid.T) *model {
	m := &model{}
	m.o = eventlog.Options{
		Limits: eventlog.Limits{
			Age:    rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Hour}).Draw(t, "age"),
			Events: rapid.SampledFrom([]int{0, 1, 10, 10_000}).Draw(t, "events"),
			Bytes:  rapid.SampledFrom([]int{0, 1, 1000, 100_000, 8 << 20}).Draw(t, "bytes"),
		},
		Mode:  rapid.SampledFrom([]eventlog.Mode{eventlog.Paced, eventlog.Newest, eventlog.Shared}).Draw(t, "mode"),
		First: start, Mark: event.NewMark(), Budget: w.budget, Now: w.clock.read,
		Evicted: func() {
			m.evicted = true
			m.log.Close() // no lock may be held
		},
	}
	m.log = w.open(m.o)
	m.parts = []part{{mark: m.o.Mark, start: start}}
	return m
}

func (w *world) play(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) { w.any(t).append(t, w, rapid.IntRange(0, 200).Draw(t, "size")) },
		"burst": func(t *rapid.T) {
			m, size := w.any(t), rapid.SampledFrom([]int{0, 30, 1000, 9000, 40_000, mostBytes}).Draw(t, "size")
			for range rapid.IntRange(1, 30).Draw(t, "times") {
				m.append(t, w, size)
			}
		},
		"read":    func(t *rapid.T) { w.any(t).read(t) },
		"written": func(t *rapid.T) { m := w.any(t); m.write(m.drawPosition(t)) },
		"written all": func(t *rapid.T) {
			m := w.any(t)
			m.write(m.end())
		},
		"later": func(t *rapid.T) {
			w.clock.now = w.clock.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second)
		},
		"expire":    func(t *rapid.T) { w.any(t).expire(t) },
		"wait":      func(t *rapid.T) { w.any(t).wait(t, w) },
		"advance":   func(t *rapid.T) { w.any(t).advance(t) },
		"cursors":   func(t *rapid.T) { w.any(t).cursors(t) },
		"settle":    func(t *rapid.T) { w.any(t).settle(t) },
		"record":    func(t *rapid.T) { w.any(t).record(t) },
		"attach":    func(t *rapid.T) { m := w.any(t); m.readers++; m.log.Attach() },
		"detach":    func(t *rapid.T) { w.any(t).detach() },
		"seal":      func(t *rapid.T) { w.end(t, (*model).seal) },
		"seal with": func(t *rapid.T) { w.end(t, (*model).sealWith) },
		"close":     func(t *rapid.T) { w.end(t, (*model).close) },
		"":          w.check,
		"look back": func(t *rapid.T) { w.any(t).readAll(t) },
	})
	for _, m := range w.models {
		m.log.Close()
	}
	if w.budget != nil && w.budget.Used() != 0 {
		t.Fatalf("%d bytes are counted for no log", w.budget.Used())
	}
}

func (w *world) any(t *rapid.T) *model {
	return w.models[rapid.IntRange(0, len(w.models)-1).Draw(t, "log")]
}

// end ends a log, now and then, and puts a new one in the place of one that was closed.
func (w *world) end(t *rapid.T, how func(*model, *world)) {
	i := rapid.IntRange(0, len(w.models)-1).Draw(t, "log")
	if rapid.IntRange(0, 4).Draw(t, "really") > 0 {
		return
	}
	how(w.models[i], w)
	if w.models[i].closed {
		w.models[i] = w.newModel(t)
	}
}

// check compares every log with its model, and what is counted with what is held.
func (w *world) check(t *rapid.T) {
	held, spare := int64(0), int64(0)
	for _, m := range w.models {
		m.look(t, w)
		if m.closed {
			continue
		}
		held += int64(m.bytes(m.first, len(m.records)))
		// Beside its records a log has an index entry for each, parts of segments at both ends, and itself.
		spare += int64(12*len(m.records)) + 3*(64<<10+mostBytes) + 8<<10
	}
	if w.budget == nil {
		return
	}
	if used := w.budget.Used(); used < held || used > 2*held+spare {
		t.Fatalf("%d bytes are counted for %d", used, held)
	}
}

func (m *model) seal(w *world) {
	if m.sealed.IsZero() && !m.closed {
		m.sealed = w.clock.now
	}
	m.log.Seal()
}

func (m *model) sealWith(w *world) {
	const size = 100
	takes := m.sealed.IsZero() && !m.closed
	m.log.SealWith(func(dst []byte, id event.ID) []byte {
		m.records = append(m.records, record{size, w.clock.now, id.Position})
		return append(dst, content(len(m.records)-1, size)...)
	})
	if takes {
		m.sealed, m.ended = w.clock.now, true
		m.trim(w.clock.now)
	}
}

// newest is how many records there are, the end left aside.
func (m *model) newest() int {
	if m.ended {
		return len(m.records) - 1
	}
	return len(m.records)
}

func (m *model) close(*world) {
	m.closed = true
	m.log.Close()
}

func (m *model) detach() {
	if m.readers > 0 {
		m.readers--
		m.log.Detach()
	}
}

func (m *model) append(t *rapid.T, w *world, size int) {
	called := false
	var id event.ID
	room := m.log.Append(func(dst []byte, given event.ID) []byte {
		called, id = true, given
		return append(dst, content(len(m.records), size)...)
	})
	// It is built exactly where the log took it; look finds out when that was wrong.
	if called {
		m.records = append(m.records, record{size, w.clock.now, id.Position})
		m.trim(w.clock.now)
	}
	unsent := m.bytes(m.written, len(m.records))
	full := m.o.Mode == eventlog.Paced && unsent >= m.o.Limits.Bytes/2 || w.budget != nil && w.budget.Used() >= w.limit
	if want := called && !full; room != want {
		t.Fatalf("Append: room %t, want %t, with %d bytes unsent", room, want, unsent)
	}
	if p := newProbe(); room && (m.log.WaitRoom(p) != nil || p.asked) {
		t.Fatal("WaitRoom would wait, although Append says that there is room")
	}
}

func (m *model) write(pos event.Position) {
	m.log.Written(pos)
	if n := m.has(pos); n > m.written && n <= len(m.records) && !m.closed {
		m.written = n
		m.trim(m.o.Now())
	}
}

func (m *model) expire(t *rapid.T) {
	if got := m.log.Expire(); !got.Equal(m.sealed) {
		t.Fatalf("sealed at %v, want %v", got, m.sealed)
	}
	m.trim(m.o.Now())
}

// trim is what retention asks for.
func (m *model) trim(now time.Time) {
	for m.first+1 < len(m.records) && (m.first < m.written || m.o.Mode != eventlog.Paced) {
		upto := m.written
		if m.o.Mode != eventlog.Paced {
			upto = len(m.records)
		}
		if upto-m.first <= m.o.Limits.Events && m.bytes(m.first, upto) <= m.o.Limits.Bytes &&
			!m.records[m.first].at.Before(now.Add(-m.o.Limits.Age)) {
			return
		}
		m.first++
		m.written = max(m.written, m.first)
	}
}

func (m *model) bytes(from, to int) (n int) {
	for _, r := range m.records[from:max(from, to)] {
		n += r.size
	}
	return n
}

// look compares the log with the model, and lets the model know what the budget took.
func (m *model) look(t *rapid.T, w *world) {
	if m.evicted && !m.closed {
		if m.sealed.IsZero() || m.readers > 0 || w.budget == nil {
			t.Fatalf("evicted: sealed at %v, %d readers", m.sealed, m.readers)
		}
		m.closed = true
	}
	if m.closed {
		return
	}
	first, last := m.log.Bounds()
	if last != m.cursor(m.newest()) || len(m.records) > 0 && m.has(m.records[len(m.records)-1].pos) != len(m.records) {
		t.Fatalf("the log ends at %d, the model at %d", last, m.cursor(m.newest()))
	}
	got := m.has(first)
	if first != m.cursor(got) {
		t.Fatalf("the log begins at %d, the model at %d", first, m.cursor(got))
	}
	switch {
	case got == m.first:
		return
	case w.budget == nil || got < m.first:
		t.Fatalf("the log begins after %d records, the model after %d", got, m.first)
	case got > m.takeable() || got >= len(m.records):
		t.Fatalf("the budget took %d of %d records, but only %d may be taken", got, len(m.records), m.takeable())
	}
	floor := int(min(sentFloor, w.limit/2/mostLogs))
	if left := m.bytes(got-1, m.takeable()); left <= floor {
		t.Fatalf("the budget took a record although only %d bytes were left", left)
	}
	m.first = got
	m.written = max(m.written, m.first)
}

// takeable is how many records the budget may take, but for what it leaves.
func (m *model) takeable() int {
	if m.o.Mode == eventlog.Shared {
		return len(m.records)
	}
	return m.written
}

// wait asks whether the writer would have to wait.
func (m *model) wait(t *rapid.T, w *world) {
	p := newProbe()
	err := m.log.WaitRoom(p)
	short := w.budget != nil && w.budget.Used() >= w.limit
	unsent := m.bytes(m.written, len(m.records))
	var want error
	switch {
	case m.closed:
		want = eventlog.ErrClosed
	case unsent == 0:
	case m.o.Mode == eventlog.Paced && unsent >= m.o.Limits.Bytes/2:
		want = context.Canceled
	case short && m.o.Mode == eventlog.Newest:
		want = eventlog.ErrBudget
	case short:
		want = context.Canceled
	}
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("WaitRoom: %v, want %v, with %d bytes unsent, budget short: %t", err, want, unsent, short)
	}
}

func (m *model) record(t *rapid.T) {
	pos := m.drawPosition(t)
	n := m.has(pos) - 1
	got, ok := m.log.Record(pos)
	if want := !m.closed && n >= m.first && n < len(m.records); ok != want {
		t.Fatalf("Record(%d) = %t, the model has (%d, %d], closed %t", n, ok, m.first, len(m.records), m.closed)
	}
	if ok && !slices.Equal(got, m.content(n, n+1)) {
		t.Fatalf("Record(%d) gave %d other bytes", n, len(got))
	}
}

func (m *model) read(t *rapid.T) {
	m.readAt(t, m.drawPosition(t), rapid.SampledFrom([]int{-1, 0, 1, 100, 4 << 10, 64 << 10, 1 << 30}).Draw(t, "limit"))
}

// readAll reads everything that is kept.
func (m *model) readAll(t *rapid.T) {
	limit := rapid.SampledFrom([]int{1, 16 << 10, 1 << 30}).Draw(t, "limit")
	for pos := m.cursor(m.first); !m.closed; {
		next := m.readAt(t, pos, limit)
		if next == pos {
			return
		}
		pos = next
	}
}

func (m *model) readAt(t *rapid.T, pos event.Position, limit int) event.Position {
	got, next, err := m.log.Read(pos, limit)
	n := m.has(pos) // how many records the reader has
	var ok bool
	switch {
	case m.closed:
		ok = errors.Is(err, eventlog.ErrClosed)
	case n < m.first:
		ok = isTrimmed(err, m.cursor(m.first), uint64(m.first-n))
	case n > len(m.records):
		ok = errors.Is(err, eventlog.ErrAhead)
	case n == len(m.records) && !m.sealed.IsZero():
		ok = errors.Is(err, io.EOF)
	case n == len(m.records):
		ok = err == nil && len(got) == 0 && next == pos
	default:
		upto := m.has(next)
		ok = err == nil && upto > n && next == m.records[upto-1].pos && (len(got) <= limit || upto == n+1) &&
			slices.Equal(got, m.content(n, upto))
	}
	if !ok || (err != nil && (next != pos || len(got) > 0)) {
		t.Fatalf("Read(%d, %d) = %d bytes, %d, %v; the model has (%d, %d], closed %t, sealed %v",
			n, limit, len(got), m.has(next), err, m.first, len(m.records), m.closed, m.sealed)
	}
	return next
}

func (m *model) content(from, to int) (all []byte) {
	for i := from; i < to; i++ {
		all = append(all, content(i, m.records[i].size)...)
	}
	return all
}

// noise is what records are cut from.
var noise = func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, mostBytes+5003)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}()

// content is what the record number n of this size holds.
func content(n, size int) []byte {
	from := n * 7919 % 5003
	return noise[from : from+size]
}
