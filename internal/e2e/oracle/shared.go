package oracle

import (
	"cmp"
	"maps"
	"slices"
)

const typeBookmark = "stream.bookmark"

// Whole checks this: the links from the first to the last number came, both included, in order, each once, and nothing
// was reset. With first 0 it begins with whatever came first. It is for streams that go on: it asks for no end.
func Whole(t *Transcript, first, last uint64) error {
	v := violations{promise: "whole"}
	next := first
	for i, r := range t.Records {
		if r.Event == typeReset {
			v.add(i, "a reset: %s", r.Data)
		}
		if !r.isApplication() {
			continue
		}
		link, err := DecodeLink(r.Data)
		if err == nil && next == 0 {
			next = link.N
		}
		if err != nil || link.N != next {
			v.add(i, "%s instead of link %d", r.Data, next)
			return v.err() // one fault moves all that follow
		}
		next++
	}
	if next != last+1 {
		v.add(-1, "the last link was to be %d, but the next one would be %d", last, next)
	}
	return v.err()
}

// Unreset checks this: nothing was reset.
func Unreset(t *Transcript) error {
	v := violations{promise: "unreset"}
	for i, r := range t.Records {
		if r.Event == typeReset {
			v.add(i, "a reset: %s", r.Data)
		}
	}
	return v.err()
}

// EndedWith checks this: the last event that came is link last, and behind it the stream ended with OK.
func EndedWith(t *Transcript, last uint64) error {
	v := violations{promise: "ended"}
	var n uint64
	end := ""
	for _, r := range t.Records {
		if r.Event == typeEnd {
			end = r.Data
		}
		if link, err := DecodeLink(r.Data); r.isApplication() && err == nil {
			n = link.N
		}
	}
	if n != last {
		v.add(-1, "the last link is %d, not %d", n, last)
	}
	if end != `{"code":0,"status":"OK"}` {
		v.add(-1, "the end says %q", end)
	}
	return v.err()
}

// Apart checks this: of one stream's generations, each lies as a whole before or behind each other, for all its readers
// together. It leaves out what only one of them saw, which may be a catch-up call of its own, and it does not hold
// where the clock went back and the log was lost while nobody was there to present a higher position.
func Apart(transcripts ...*Transcript) error {
	v := violations{promise: "apart"}
	type extent struct{ first, last uint64 }
	extents := map[string]extent{}
	readers := map[string]int{}
	for _, t := range transcripts {
		seen := map[string]bool{}
		for _, r := range t.Records {
			p, err := placeOf(r.ID)
			if r.ID == "" || err != nil || p.end || !r.isLogged() {
				continue
			}
			e, ok := extents[p.mark]
			if !ok {
				e = extent{p.position, p.position}
			}
			extents[p.mark] = extent{min(e.first, p.position), max(e.last, p.position)}
			seen[p.mark] = true
		}
		for mark := range seen {
			readers[mark]++
		}
	}
	marks := slices.DeleteFunc(slices.Collect(maps.Keys(extents)), func(mark string) bool { return readers[mark] < 2 })
	slices.SortFunc(marks, func(a, b string) int { return cmp.Compare(extents[a].first, extents[b].first) })
	for i := 1; i < len(marks); i++ {
		if before, now := extents[marks[i-1]], extents[marks[i]]; now.first <= before.last {
			v.add(-1, "generation %s has %d to %d, and %s has %d to %d", marks[i-1], before.first, before.last, marks[i], now.first, now.last)
		}
	}
	return v.err()
}

// Resets counts the resets by their reason.
func Resets(t *Transcript) map[string]int {
	reasons := map[string]int{}
	for _, r := range t.Records {
		if r.Event == typeReset {
			reasons[r.reason()]++
		}
	}
	return reasons
}

// State is what a reader knows at the end of t: the number of the newest event of each key, without the keys that are
// deleted. It forgets all at a reset, and where a cursor is not resumed.
func State(t *Transcript) map[string]uint64 {
	f := newFold()
	for _, r := range t.Records {
		f.add(r)
	}
	return f.state
}

// Latest checks this: at the end of t its reader knows what the backend does, no key more and none less.
func Latest(t *Transcript, want map[string]uint64) error {
	v := violations{promise: "latest"}
	v.compare(-1, State(t), want, func(string) bool { return true })
	return v.err()
}

// compare adds what got has too much and too little of the keys that count.
func (v *violations) compare(record int, got, want map[string]uint64, counts func(key string) bool) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if n, ok := got[key]; counts(key) && !ok {
			v.add(record, "key %q is missing: its newest event is %d", key, want[key])
		} else if counts(key) && n != want[key] {
			v.add(record, "key %q is at event %d, not %d", key, n, want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; counts(key) && !ok {
			v.add(record, "key %q is at event %d, but is deleted", key, got[key])
		}
	}
}

// fold makes a state out of records.
type fold struct{ state map[string]uint64 }

func newFold() *fold { return &fold{state: map[string]uint64{}} }

func (f *fold) add(r Record) {
	if r.Event == typeReset || (r.Event == typeOpen && !r.resumed()) {
		clear(f.state)
	}
	if !r.isApplication() {
		return
	}
	link, err := DecodeLink(r.Data)
	if err != nil || link.Key == "" {
		return // Chain says what is wrong
	}
	f.state[link.Key] = link.N
	if link.Deleted {
		delete(f.state, link.Key)
	}
}
