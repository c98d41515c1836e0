package eventlogtest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// part is a generation of a model.
type part struct {
	mark    event.Mark
	start   event.Position
	base    int  // how many records were before it
	settled bool // its start was given to a client
}

// has is how many records a reader at pos has; one more than there are where it is ahead of the log.
func (m *model) has(pos event.Position) (n int) {
	for _, r := range m.records {
		if r.pos <= pos {
			n++
		}
	}
	if pos > m.end() {
		n = len(m.records) + 1
	}
	return n
}

// cursor is the highest position that means n records.
func (m *model) cursor(n int) event.Position {
	for _, p := range slices.Backward(m.parts) {
		if p.base <= n {
			return p.start + event.Position(n-p.base)
		}
	}
	panic("no generation")
}

func (m *model) end() event.Position { return m.cursor(len(m.records)) }

// last is the newest position of the i-th generation.
func (m *model) last(i int) event.Position {
	upto := len(m.records)
	if i+1 < len(m.parts) {
		upto = m.parts[i+1].base
	}
	return m.parts[i].start + event.Position(upto-m.parts[i].base)
}

func (m *model) drawPosition(t *rapid.T) event.Position {
	i := rapid.IntRange(0, len(m.parts)-1).Draw(t, "generation")
	return m.parts[i].start - 1 + event.Position(rapid.IntRange(0, int(m.last(i)-m.parts[i].start)+3).Draw(t, "position"))
}

// advance begins a generation, or moves the start of the newest one.
func (m *model) advance(t *rapid.T) {
	above := m.drawPosition(t) + event.Position(rapid.SampledFrom([]int{0, 1, 5, 1 << 20}).Draw(t, "ahead"))
	newest := &m.parts[len(m.parts)-1]
	free := len(m.parts) < 64 // as many are remembered; no model gets there
	want := free && !m.closed && m.sealed.IsZero() && above > m.end()
	if got := m.log.Advance(above); got != want {
		t.Fatalf("Advance(%d) = %t, the model ends at %d, closed %t, sealed %v", above, got, m.end(), m.closed, m.sealed)
	}
	switch {
	case !want:
	case newest.base == len(m.records) && !newest.settled:
		newest.start = above
	default:
		m.parts = append(m.parts, part{mark: m.log.Mark(), start: above, base: len(m.records)})
	}
	newest = &m.parts[len(m.parts)-1]
	start, last := m.log.Generation()
	if start != newest.start || last != m.end() || m.log.Mark() != newest.mark || m.log.Start() != m.parts[0].start {
		t.Fatalf("the generation is (%d, %d] after Advance(%d), want (%d, %d]", start, last, above, newest.start, m.end())
	}
}

func (m *model) settle(t *rapid.T) {
	pos := m.drawPosition(t)
	got := m.log.Settle(pos)
	if n := m.has(pos); n <= len(m.records) && got != m.cursor(n) {
		t.Fatalf("Settle(%d) = %d, want %d", pos, got, m.cursor(n))
	}
	if newest := &m.parts[len(m.parts)-1]; got == newest.start {
		newest.settled = true
	}
}

// cursors asks what a position means.
func (m *model) cursors(t *rapid.T) {
	from, to := m.drawPosition(t), m.drawPosition(t)
	has := m.has(from)
	if has > len(m.records) {
		return
	}
	if got := m.log.Onward(from); got != m.cursor(has) {
		t.Fatalf("Onward(%d) = %d, want %d", from, got, m.cursor(has))
	}
	if n := m.has(to); n <= len(m.records) && m.log.Between(from, to) != uint64(max(0, n-has)) {
		t.Fatalf("Between(%d, %d) = %d, want %d", from, to, m.log.Between(from, to), max(0, n-has))
	}
	for i, p := range m.parts {
		inside := from >= p.start && from <= m.last(i) && (!m.ended || from < m.end())
		if m.log.Holds(p.mark, from) != (inside && !m.closed) {
			t.Fatalf("Holds(generation %d, %d) = %t, closed %t", i, from, !inside, m.closed)
		}
		if inside && m.log.MarkAt(from) != p.mark {
			t.Fatalf("MarkAt(%d) is not the mark of generation %d", from, i)
		}
	}
}
