package conformance

import (
	"fmt"
	"time"
)

// invariants are the rules that hold for every response, whatever a case is about.
type invariants struct {
	form      form
	presented string // the request's cursor
	poll      bool   // the client has asked for a response that ends soon
	hidden    bool   // the client has asked for a view that hides events
	frames    int    // without heartbeats
	last      ident  // of the last frame that had an id
	busy, end bool   // the last frame was one
}

// add takes the next frame of the response.
func (v *invariants) add(f Frame) error {
	if v.busy || v.end {
		return fmt.Errorf("%q after the last frame of the response", f.Raw)
	}
	if f.IsHeartbeat() {
		return nil
	}
	switch v.form {
	case plain:
		return v.addPlain(f)
	case jsonStream:
		return v.addJSON(f)
	case typed, ndjson:
	}
	first := v.frames == 0
	v.frames++
	v.busy, v.end = f.Event == "stream.busy", f.Event == "stream.end"
	switch {
	case first && f.Event != "stream.open" && f.Event != "stream.busy":
		return fmt.Errorf("the first frame is %s: %q", f.Event, f.Raw)
	case !first && f.Event == "stream.open":
		return fmt.Errorf("a second stream.open: %q", f.Raw)
	case v.form == typed:
		if err := v.preamble(f, first); err != nil {
			return err
		}
	}
	return v.id(f, first)
}

// preamble checks the comment and the retry of a typed frame.
func (v *invariants) preamble(f Frame, first bool) error {
	switch {
	case first && !f.Comment, first && f.Retry < 0:
		return fmt.Errorf("the first frame has no comment or no retry: %q", f.Raw)
	case f.Event == "stream.open" && !v.retryFits(f.Retry):
		return fmt.Errorf("retry is not between %v and %v, or %v and %v for a poll: %q", minRetry, maxRetry, minPollRetry, maxPollRetry, f.Raw)
	case !first && f.Comment, !first && !v.busy && f.Retry >= 0:
		return fmt.Errorf("a comment or retry where none belongs: %q", f.Raw)
	}
	return nil
}

func (v *invariants) retryFits(d time.Duration) bool {
	if v.poll {
		return minPollRetry <= d && d <= maxPollRetry
	}
	return minRetry <= d && d <= maxRetry
}

func (v *invariants) id(f Frame, first bool) error {
	if f.Event == "stream.waiting" || f.Event == "stream.busy" {
		if f.ID != "" {
			return fmt.Errorf("%s has an id: %q", f.Event, f.Raw)
		}
		return nil
	}
	id, err := parseID(f.ID)
	if err != nil {
		return err
	}
	before := v.last
	v.last = id
	switch {
	case id.end != v.end && !(first && f.ID == v.presented):
		return fmt.Errorf("the id %s on %s", f.ID, f.Event)
	case first || f.Event == "stream.reset":
		if id.position < before.position && before.snapshot == 0 && !v.forged(before, id) {
			return fmt.Errorf("position %d after %d: %q", id.position, before.position, f.Raw)
		}
		return nil
	case before.snapshot != 0 && id.mark != before.mark && before.cursor != "":
		// A bridge that knows nothing of the snapshot goes on from the backend's cursor.
	case before.snapshot != 0 && !before.goesOn(id, f):
		return fmt.Errorf("the id %s inside the snapshot that ends at %d: %q", f.ID, before.snapshot, f.Raw)
	case before.snapshot != 0:
		return nil
	case id.snapshot != 0:
		return fmt.Errorf("a snapshot begins without stream.open or stream.reset: %q", f.Raw)
	case id.end && before.mark != "" && !f.isLogged():
		return fmt.Errorf("the id %s on %s", f.ID, f.Event)
	}
	return v.follows(before, id, f)
}

// follows checks the id of a frame outside of snapshots that is neither the first nor a reset.
func (v *invariants) follows(before, id ident, f Frame) error {
	least, most := before.position+1, before.position+1
	switch sameRun := id.end || id.mark == before.mark; {
	case v.foreign(before, id):
		return nil
	case !sameRun && before.cursor == "":
		return fmt.Errorf("the mark changes without a stream.reset: %q", f.Raw)
	case f.Event == "stream.bookmark":
		least--
		most = anyPosition
	case !sameRun || v.hidden:
		most = anyPosition // the backend's cursor is what continues
	}
	if id.position < least || id.position > most {
		return fmt.Errorf("position %d after %d: %q", id.position, before.position, f.Raw)
	}
	return nil
}

// goesOn reports whether id, of the frame f, may follow before, which is inside a snapshot: it is of the same one, or it
// is the bookmark that closes it.
func (before ident) goesOn(id ident, f Frame) bool {
	if id.snapshot == 0 {
		return f.Event == "stream.bookmark" && id.position == before.snapshot && id.mark == before.mark
	}
	return id.snapshot == before.snapshot && id.mark == before.mark && id.position > before.position && id.position <= id.snapshot
}

// foreign reports whether an end follows directly on a stream.open that only gave back a cursor which is not known: that
// has another numbering, and the end's position lies above it.
func (v *invariants) foreign(before, id ident) bool {
	return id.end && v.frames == 2 && (id.position > before.position || v.forged(before, id))
}

// forged reports whether the presented cursor, given back, is so far ahead of the clock that numbering does not follow it.
func (v *invariants) forged(before, id ident) bool {
	return v.frames == 2 && before.position > id.position+uint64(maxAhead.Microseconds())
}

// The bounds of retry in a stream.open.
const (
	minRetry     = 2 * time.Second
	maxRetry     = 4 * time.Second
	minPollRetry = 500 * time.Millisecond
	maxPollRetry = time.Second
)

// anyPosition is above all positions.
const anyPosition = 1 << 53

// maxAhead is how far ahead of the clock a presented position may be to be followed.
const maxAhead = 10 * time.Minute
