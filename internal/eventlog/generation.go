package eventlog

import "github.com/grpc-sse/grpc-sse/internal/event"

// ordinal counts the records of a log from 1, whatever their positions. As a cursor n says that a reader has everything
// up to the record n; 0 is before the first. It is what all arithmetic is done with: positions have gaps.
type ordinal uint64

// maxGenerations bounds the generations that a log remembers.
const maxGenerations = 64

// generation is a part of a log inside which positions go up by exactly one:
//
//	position   7   8   9           40  41  42      the cursors 9 and 40 say the same: everything up to the record 2
//	ordinal        1   2               3   4
//	           ^start  ^last       ^start  ^last
type generation struct {
	mark  event.Mark
	start event.Position // the cursor before its first record; belongs to no event
	base  ordinal        // how many records were before it
}

// position is where the record n is, or would be, in the generation.
func (g *generation) position(n ordinal) event.Position { return g.start + event.Position(n-g.base) }

// newest is the generation that records are appended to.
func (l *Log) newest() *generation { return &l.generations[len(l.generations)-1] }

// end is the last record of the i-th generation, or its base where it has none.
func (l *Log) end(i int) ordinal {
	if i+1 < len(l.generations) {
		return l.generations[i+1].base
	}
	return l.last
}

// index finds the generation that begins at or before pos; -1 where none does.
func (l *Log) index(pos event.Position) int {
	i := len(l.generations) - 1
	for i >= 0 && l.generations[i].start > pos {
		i--
	}
	return i
}

// ordinalOf is the cursor pos in records. A position that is none of the log's, before or between its generations, counts
// as the start that follows it. One ahead of the log is ahead here too.
func (l *Log) ordinalOf(pos event.Position) ordinal {
	i := l.index(pos)
	if i < 0 {
		return l.generations[0].base
	}
	g := &l.generations[i]
	n := g.base + ordinal(pos-g.start)
	if i+1 < len(l.generations) {
		n = min(n, l.generations[i+1].base)
	}
	return n
}

// positionOf is the position of the record n, which is not before the oldest generation.
func (l *Log) positionOf(n ordinal) event.Position {
	i := len(l.generations) - 1
	for i > 0 && l.generations[i].base >= n {
		i--
	}
	return l.generations[i].position(n)
}

// cursorOf is the highest position that says "everything up to the record n".
func (l *Log) cursorOf(n ordinal) event.Position {
	i := len(l.generations) - 1
	for i > 0 && l.generations[i].base > n {
		i--
	}
	return l.generations[i].position(n)
}

// Advance begins a new generation, whose start is above, so that all ids from here on lie above one that a client has
// presented; where the newest generation has no record and nobody was given its start (Settle), that moves instead.
// Positions between the generations belong to nobody. It reports whether it did: not where above is not up, where the log
// takes no records any more, or where it has as many generations as it can remember, all with records that are kept.
func (l *Log) Advance(above event.Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.newest()
	if l.closed || !l.sealed.IsZero() || above <= g.position(l.last) {
		return false
	}
	if g.base == l.last && !l.settled {
		g.start = above
		return true
	}
	if len(l.generations) == maxGenerations {
		// A reader at the end of the oldest one has missed nothing as long as what follows is kept.
		if l.end(0) >= l.first {
			return false
		}
		l.generations = append(l.generations[:0], l.generations[1:]...)
	}
	l.generations = append(l.generations, generation{mark: l.newest().mark.NextGeneration(), start: above, base: l.last})
	l.settled = false
	return true
}

// Settle returns the cursor that is as good as pos and is not below it (Onward), and keeps it as it is: the start of an
// empty generation moves no more. Who gives a client a cursor takes it from here.
func (l *Log) Settle(pos event.Position) event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	pos = l.onward(pos)
	l.settled = l.settled || pos == l.newest().start
	return pos
}

// Onward is the highest cursor that is as good as pos: the start of the next generation where pos is the last of one or
// lies between two, else pos.
func (l *Log) Onward(pos event.Position) event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.onward(pos)
}

func (l *Log) onward(pos event.Position) event.Position { return l.cursorOf(l.ordinalOf(pos)) }

// Between counts the records after from up to to.
func (l *Log) Between(from, to event.Position) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, t := l.ordinalOf(from), l.ordinalOf(to)
	return uint64(max(f, t) - f)
}

// Holds reports whether mark names a generation of the log and pos is a cursor of it: from the one before its first record
// to its newest, whether that is still kept or not. The end (SealWith) is none.
func (l *Log) Holds(mark event.Mark, pos event.Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.index(pos)
	return !l.closed && i >= 0 && l.generations[i].mark == mark && pos <= l.generations[i].position(min(l.end(i), l.newestLocked()))
}

// MarkAt is the mark of the generation that pos lies in.
func (l *Log) MarkAt(pos event.Position) event.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generations[max(l.index(pos), 0)].mark
}

// Start is the cursor before the first record of the oldest generation, whether that is still kept or not.
func (l *Log) Start() event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generations[0].start
}

// Mark names the newest generation. All marks of a log are of one run.
func (l *Log) Mark() event.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest().mark
}

// Generation is where the newest generation lies: the cursor before its first record, and the position of its newest.
func (l *Log) Generation() (start, last event.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.newest()
	return g.start, g.position(l.last)
}
