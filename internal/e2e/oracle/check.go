package oracle

import (
	"errors"
	"fmt"
	"net/http"
)

// ViolationError is one broken promise.
type ViolationError struct {
	// Promise is the broken one: "rising", "unique", "contiguous", "announced", "chain", "isolated", "identical", "terminal",
	// "opened", "complete", "well-formed", "snapshot", "whole", "unreset", "ended", "latest" or "apart".
	Promise string
	// Record is the index in Transcript.Records; -1 where it is about no record.
	Record int
	// What says what is wrong.
	What string
}

func (v *ViolationError) Error() string {
	if v.Record < 0 {
		return v.Promise + ": " + v.What
	}
	return fmt.Sprintf("%s: record %d: %s", v.Promise, v.Record, v.What)
}

// violations collects the broken promises of one kind.
type violations struct {
	promise string
	errs    []error
}

func (v *violations) add(record int, format string, a ...any) {
	v.errs = append(v.errs, &ViolationError{Promise: v.promise, Record: record, What: fmt.Sprintf(format, a...)})
}

func (v *violations) err() error { return errors.Join(v.errs...) }

// Check runs all validators that look at one transcript of the chain named stream. Terminal is run where the stream
// was read to its end.
func Check(t *Transcript, stream string, ended bool) error {
	errs := []error{
		WellFormed(t), Opened(t), Rising(t), Unique(t), Contiguous(t), Announced(t), Chain(t), Isolated(t, stream), Snapshots(t),
	}
	if ended {
		errs = append(errs, Terminal(t))
	}
	return errors.Join(errs...)
}

// WellFormed checks this: nothing came that only a lenient parser copes with, and ids are ids.
func WellFormed(t *Transcript) error {
	v := violations{promise: "well-formed"}
	for i, c := range t.Connections {
		for _, odd := range c.Oddities {
			v.add(-1, "connection %d sent %s", i, odd)
		}
	}
	for i, r := range t.Records {
		if r.ID == "" {
			if r.isLogged() {
				v.add(i, "a %s without an id", r.Event)
			}
			continue
		}
		p, err := placeOf(r.ID)
		switch {
		case err != nil:
			v.add(i, "%v", err)
		case p.end != (r.Event == typeEnd) && r.Event != typeOpen: // an open frame repeats what was presented
			v.add(i, "id %q on a %s", r.ID, r.Event)
		}
	}
	return v.err()
}

// Opened checks this: every response begins with stream.open, whose id is the cursor that was presented, or is nothing
// but a stream.busy.
func Opened(t *Transcript) error {
	v := violations{promise: "opened"}
	last := -1
	for i, r := range t.Records {
		first := r.Connection != last
		last = r.Connection
		if r.Event == typeBusy && first && (i+1 == len(t.Records) || t.Records[i+1].Connection != last) {
			continue
		}
		if first != (r.Event == typeOpen) {
			v.add(i, "a %s as the first record: %t", r.Event, first)
			continue
		}
		if presented := t.Connections[r.Connection].Presented; first && presented != "" && r.ID != presented {
			v.add(i, "opened at %q, but %q was presented", r.ID, presented)
		}
	}
	return v.err()
}

// Rising checks this: positions only go up. A reader's own frame may repeat the position before it: it is a cursor. A
// snapshot goes up from the oldest of its events, which may lie far back, to an end that does not. One whose log is lost
// before its end stands for no more than it showed.
func Rising(t *Transcript) error {
	v := violations{promise: "rising"}
	var last uint64     // the highest position that was held, that at the end of a snapshot included
	var snapshot *place // the newest record of a snapshot that has not come to its end
	seen := false
	for i, r := range t.Records {
		p, err := placeOf(r.ID)
		if r.ID == "" || err != nil {
			continue
		}
		low, compared, high := last, seen, p.position
		switch {
		case p.snapshot:
			if p.until < last && (snapshot == nil || !p.sameSnapshot(*snapshot)) {
				v.add(i, "a snapshot that ends at %d after %d", p.until, last)
			}
			low, compared = 0, snapshot != nil && p.sameSnapshot(*snapshot)
			if compared {
				low = snapshot.position
			}
			high = max(last, p.position)
			snapshot = &p
		case snapshot != nil && p.mark == snapshot.mark:
			low, snapshot = snapshot.until, nil
		case snapshot != nil:
			low, snapshot = snapshot.position, nil
		}
		if compared && (p.position < low || (p.position == low && r.isLogged())) {
			v.add(i, "position %d after %d", p.position, low)
		}
		last, seen = high, true
	}
	return v.err()
}

// Unique checks this: no record comes twice, be it under the id that it has in a snapshot. Only what came before a reset
// may come again in a snapshot behind it.
func Unique(t *Transcript) error {
	v := violations{promise: "unique"}
	first := map[place]int{}
	reset := 0 // the index of the last one
	for i, r := range t.Records {
		if r.Event == typeReset {
			reset = i
		}
		p, err := placeOf(r.ID)
		if r.ID == "" || err != nil || !r.isLogged() {
			continue
		}
		if before, ok := first[p.record()]; ok && (!p.snapshot || before > reset) {
			v.add(i, "id %q came already as record %d", r.ID, before)
			continue
		}
		first[p.record()] = i
	}
	return v.err()
}

// Contiguous checks this: within a generation, positions go up by exactly one from what the client held, unless a stream.reset in
// between says otherwise. It sees a loss that Chain cannot: of the last events before an end. Of a snapshot it knows
// only where it ends.
func Contiguous(t *Transcript) error {
	v := violations{promise: "contiguous"}
	var held place
	seen := false
	for i, r := range t.Records {
		p, err := placeOf(r.ID)
		if r.ID == "" || err != nil {
			continue
		}
		sameRun := p.end || p.mark == held.mark
		known := seen && sameRun && !held.snapshot && !p.snapshot
		if known && r.Event != typeReset && r.isLogged() && p.position != held.position+1 {
			v.add(i, "position %d follows %d", p.position, held.position)
		}
		if r.Event == typeOpen && t.Connections[r.Connection].Presented == r.ID {
			seen = seen && r.resumed() // nothing is promised about what follows a cursor that was not known
			continue
		}
		held, seen = p, true
	}
	return v.err()
}

// Announced checks this: who presents a cursor that cannot be resumed is told so, by a reset before any other record of
// the log or by the end; and a stream.reset that says how much is missing is right.
func Announced(t *Transcript) error {
	v := violations{promise: "announced"}
	var held place
	untold := false // the reader does not know yet that what follows does not continue what it has
	for i, r := range t.Records {
		switch {
		case r.Event == typeOpen:
			untold = t.Connections[r.Connection].Presented != "" && !r.resumed()
		case r.Event == typeReset || r.Event == typeEnd:
			untold = false
		case untold && r.isLogged():
			v.add(i, "a %s after a cursor that was not resumed, without a reset", r.Event)
			untold = false
		}
		p, err := placeOf(r.ID)
		if r.ID == "" || err != nil {
			continue
		}
		if missed := r.missed(); r.Event == typeReset && missed != 0 && (p.mark != held.mark || p.position != held.position+missed) {
			v.add(i, "a reset from %d to %d that says that %d are missing", held.position, p.position, missed)
		}
		held = p
	}
	return v.err()
}

// Chain checks this: each link's hash is right, and each is the next one of the link before it, unless a stream.reset in between
// says otherwise; what follows a reset is a chain again. It goes by the backend's numbers, so it holds over catch-up
// calls and generations. Of a snapshot it checks the order.
func Chain(t *Transcript) error {
	v := violations{promise: "chain"}
	var last *Link
	sparse := false // last is of a snapshot: it need not be the one before the next
	for i, r := range t.Records {
		if r.Event == typeReset {
			last = nil
			continue
		}
		if !r.isApplication() {
			continue
		}
		link, err := DecodeLink(r.Data)
		if err != nil {
			v.add(i, "%v", err)
			continue
		}
		p, _ := placeOf(r.ID) // WellFormed says what is wrong with it
		switch {
		case link.Hash != link.Sum():
			v.add(i, "link %d was changed on the way", link.N)
		case link.N == 1 && link.Prev != genesis(link.Stream):
			v.add(i, "link 1 does not begin the chain")
		case last == nil || link.Stream != last.Stream: // of another stream: Isolated says so
		case link.N == last.N+1 && link.Prev != last.Hash:
			v.add(i, "link %d does not hold the hash of the one before it", link.N)
		case link.N > last.N+1 && !sparse && !p.snapshot:
			v.add(i, "links %d to %d are missing", last.N+1, link.N-1)
		case link.N <= last.N:
			v.add(i, "link %d after link %d", link.N, last.N)
		}
		last, sparse = &link, p.snapshot
	}
	return v.err()
}

// Complete checks this: the links from the first to the last number came, both included, nothing else, and then an end
// with OK. It is for streams of which nothing may be reset.
func Complete(t *Transcript, first, last uint64) error {
	v := violations{promise: "complete"}
	next := first
	for i, r := range t.Records {
		switch {
		case r.Event == typeReset:
			v.add(i, "a reset: %s", r.Data)
		case r.Event == typeEnd && r.Data != `{"code":0,"status":"OK"}`:
			v.add(i, "an end with %s", r.Data)
		}
		if !r.isApplication() {
			continue
		}
		link, err := DecodeLink(r.Data)
		if err != nil || link.N != next {
			v.add(i, "%s instead of link %d", r.Data, next)
			return v.err() // one fault moves all that follow
		}
		next++
	}
	if next != last+1 {
		v.add(-1, "the last link is %d, not %d", next-1, last)
	}
	return v.err()
}

// Isolated checks this: every link is of the stream that was asked for.
func Isolated(t *Transcript, stream string) error {
	v := violations{promise: "isolated"}
	for i, r := range t.Records {
		if !r.isApplication() {
			continue
		}
		if link, err := DecodeLink(r.Data); err == nil && link.Stream != stream {
			v.add(i, "a link of %q on %q", link.Stream, stream)
		}
	}
	return v.err()
}

// Terminal checks this: the end came exactly once and last, and who came back after it got a 204 and nothing else.
func Terminal(t *Transcript) error {
	v := violations{promise: "terminal"}
	end := -1
	for i, r := range t.Records {
		switch {
		case end >= 0:
			v.add(i, "a %s after the end", r.Event)
		case r.Event == typeEnd:
			end = i
		}
	}
	if end < 0 {
		v.add(-1, "the stream never said that it ended")
		return v.err()
	}
	for i := t.Records[end].Connection + 1; i < len(t.Connections); i++ {
		if status := t.Connections[i].Status; status != http.StatusNoContent && status != 0 {
			v.add(-1, "connection %d, after the end, got status %d", i, status)
		}
	}
	return v.err()
}

// Identical checks this: the same position of the same generation stands for the same event, for every client, in every
// replay and in every snapshot.
func Identical(transcripts ...*Transcript) error {
	v := violations{promise: "identical"}
	type content struct{ event, data string }
	known := map[place]content{}
	for n, t := range transcripts {
		for i, r := range t.Records {
			p, err := placeOf(r.ID)
			if r.ID == "" || err != nil || !r.isLogged() {
				continue
			}
			now := content{r.Event, r.Data}
			if before, ok := known[p.record()]; ok && before != now {
				v.add(i, "transcript %d has %q for id %q, another has %q", n, now, r.ID, before)
				continue
			}
			known[p.record()] = now
		}
	}
	return v.err()
}
