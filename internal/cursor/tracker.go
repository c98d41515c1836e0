package cursor

// Verdict is what a call's reader does with a message.
type Verdict int

const (
	// Keep yields the message.
	Keep Verdict = iota
	// Drop leaves the message out: the call was opened again, and this one was yielded before.
	Drop
	// Ignored says that the call was opened again at a cursor and the backend began elsewhere: it ignores the field. The
	// message belongs to a call that was started again from its beginning.
	Ignored
)

// String is the verdict's name, for logs and tests.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "drop"
	case Ignored:
		return "ignored"
	default:
		return "keep"
	}
}

// Why a call counts as one without a cursor. The texts are for logs.
const (
	ReasonMissing  = "a message carries no cursor"
	ReasonNotRisen = "a message's cursor is not greater than the one before"
	ReasonRepeated = "a cursor comes a second time"
	ReasonIgnored  = "the backend ignores the request's cursor: it begins with a message that was sent before"
)

// TrackerOptions is how a Tracker begins.
type TrackerOptions struct {
	// From is the cursor at which the call is opened from the start, where HasFrom says so: whoever reads it has
	// everything up to there. Default: the call is opened as requested.
	From    Value
	HasFrom bool

	// Holds says, for rules that are not ordered, whether the log holds an event with this cursor that came since the
	// call last began afresh: what comes after Forget may well repeat what came before it. Default nil: it holds none.
	Holds func(Value) bool

	// Broken is called once, by See, with the first message that breaks the rule and why. Default nil.
	Broken func(reason string)
}

// Tracker follows one call, however often it is opened: from which cursor it goes on, and which of its messages were
// there before. It is for one goroutine.
//
// A message that breaks the rule is kept, and from then on the call counts as one without a cursor.
type Tracker struct {
	rule    *Rule
	request []byte
	options TrackerOptions

	// last is the greatest (or, where the rule is not ordered, the newest) cursor that the reader has; valid if has.
	last Value
	has  bool
	// again says that nothing new has come since the call was opened at last.
	again   bool
	broken  bool
	yielded bool // the message kept last carries last
}

// Track begins to follow a call that was requested by these bytes, which must not change.
func (r *Rule) Track(request []byte, o TrackerOptions) *Tracker {
	return &Tracker{rule: r, request: request, options: o, last: o.From, has: o.HasFrom, again: o.HasFrom}
}

// Request is the request that opens the call, or opens it again. It reports false where there is no cursor to go on
// from: nothing has been seen yet, or the rule is broken.
func (t *Tracker) Request() ([]byte, bool) {
	if t.broken || !t.has {
		return nil, false
	}
	return t.rule.Request(t.request, t.last), true
}

// Reopened notes that the call was opened again with what Request returned.
func (t *Tracker) Reopened() { t.again = t.has }

// Forget notes that the backend no longer has the cursor: the call begins afresh, as requested.
func (t *Tracker) Forget() { t.last, t.has, t.again, t.yielded = Value{}, false, false, false }

// Last is the cursor of the message that was kept last. It reports false where that one carries none, nothing was kept
// yet, or the rule is broken: its id then carries no cursor.
func (t *Tracker) Last() (Value, bool) {
	if t.broken || !t.yielded {
		return Value{}, false
	}
	return t.last, true
}

// See judges the next message of the call before it is yielded.
func (t *Tracker) See(data []byte) Verdict {
	if t.broken {
		return Keep
	}
	v, ok := t.rule.Of(data)
	if !ok {
		return t.breaks(ReasonMissing, Keep)
	}
	if t.rule.Ordered() {
		return t.seeOrdered(v)
	}
	return t.seeUnordered(v)
}

func (t *Tracker) seeOrdered(v Value) Verdict {
	switch {
	case !t.has || t.rule.Compare(v, t.last) > 0:
		return t.keep(v)
	case t.again:
		return Drop
	default:
		return t.breaks(ReasonNotRisen, Keep)
	}
}

func (t *Tracker) seeUnordered(v Value) Verdict {
	first := t.again
	t.again = false
	same := t.has && v == t.last
	switch {
	case first && same && t.rule.inclusive:
		return Drop
	case !same && !t.holds(v):
		return t.keep(v)
	case first:
		return t.breaks(ReasonIgnored, Ignored)
	default:
		return t.breaks(ReasonRepeated, Keep)
	}
}

func (t *Tracker) holds(v Value) bool { return t.options.Holds != nil && t.options.Holds(v) }

func (t *Tracker) keep(v Value) Verdict {
	t.last, t.has, t.again, t.yielded = v, true, false, true
	return Keep
}

func (t *Tracker) breaks(reason string, verdict Verdict) Verdict {
	t.broken = true
	if t.options.Broken != nil {
		t.options.Broken(reason)
	}
	return verdict
}
