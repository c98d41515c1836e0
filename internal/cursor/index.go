package cursor

import (
	"sort"
	"sync"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// Index finds the event of a log that has a cursor. It is safe for concurrent use. Positions are added in rising order.
type Index struct {
	rule *Rule

	mu sync.RWMutex
	// entries[gone:] are in order of position and, where the rule is ordered, of cursor.
	entries []entry
	gone    int
	at      map[Value]event.Position // where the rule is not ordered
	text    int                      // bytes of text in the entries
}

type entry struct {
	value Value
	pos   event.Position
}

// entryBytes is about what an entry takes, without its text.
const entryBytes = 48

// mapEntryBytes is about what an entry takes in the map, with a short text.
const mapEntryBytes = 80

// NewIndex makes an empty Index.
func (r *Rule) NewIndex() *Index {
	x := &Index{rule: r}
	x.Clear()
	return x
}

// Add notes that the event at pos has the cursor v. A cursor that an ordered rule would not have there (it is not
// greater than the last one) means that the call began afresh: the Index does, too.
func (x *Index) Add(v Value, pos event.Position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rule.Ordered() {
		if n := len(x.entries); n > x.gone && x.rule.Compare(v, x.entries[n-1].value) <= 0 {
			x.clearLocked()
		}
	} else {
		x.at[v] = pos
	}
	x.entries = append(x.entries, entry{v, pos})
	x.text += len(v.Text())
}

// Clear forgets everything: the call began afresh.
func (x *Index) Clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.clearLocked()
}

func (x *Index) clearLocked() {
	x.entries, x.gone, x.text = nil, 0, 0
	if !x.rule.Ordered() {
		x.at = make(map[Value]event.Position)
	}
}

// Find is the position of the event that has the cursor v; of the last one where several have.
func (x *Index) Find(v Value) (event.Position, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if !x.rule.Ordered() {
		pos, ok := x.at[v]
		return pos, ok
	}
	e, ok := x.floorLocked(v)
	if !ok || e.value != v {
		return 0, false
	}
	return e.pos, true
}

// Floor is the position of the event with the greatest cursor that is not greater than v: what follows it is all that
// comes after v. It reports false where v lies beyond the last cursor, since events up to v may be yet to come. Where the
// rule is not ordered, it is Find.
func (x *Index) Floor(v Value) (event.Position, bool) {
	if !x.rule.Ordered() {
		return x.Find(v)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	e, ok := x.floorLocked(v)
	if n := len(x.entries); !ok || x.rule.Compare(v, x.entries[n-1].value) > 0 {
		return 0, false
	}
	return e.pos, true
}

func (x *Index) floorLocked(v Value) (entry, bool) {
	live := x.entries[x.gone:]
	i := sort.Search(len(live), func(i int) bool { return x.rule.Compare(live[i].value, v) > 0 })
	if i == 0 {
		return entry{}, false
	}
	return live[i-1], true
}

// Last is what was added last.
func (x *Index) Last() (Value, event.Position, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.entries) == x.gone {
		return Value{}, 0, false
	}
	e := x.entries[len(x.entries)-1]
	return e.value, e.pos, true
}

// Trim forgets the events at or before first.
func (x *Index) Trim(first event.Position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.gone < len(x.entries) && x.entries[x.gone].pos <= first {
		e := &x.entries[x.gone]
		if x.at != nil && x.at[e.value] == e.pos {
			delete(x.at, e.value)
		}
		x.text -= len(e.value.Text())
		*e = entry{}
		x.gone++
	}
	switch {
	case x.gone == len(x.entries):
		x.clearLocked() // a map never shrinks by itself
	case x.gone > len(x.entries)/2:
		// Moved to a slice of their size, each entry at most once for each that went.
		x.entries, x.gone = append([]entry(nil), x.entries[x.gone:]...), 0
	}
}

// EntryBytes is about how many bytes of memory an event takes in an Index of the rule.
func (r *Rule) EntryBytes() int {
	const sparse = entryBytes * 4 / 3 // a slice that has grown is partly empty
	if r.Ordered() {
		return sparse
	}
	return sparse + mapEntryBytes
}

// Size is about how many bytes of memory the Index takes.
func (x *Index) Size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := cap(x.entries)*entryBytes + x.text
	if x.at != nil {
		n += len(x.at) * entryBytes
	}
	return n
}
