package eventlog

import (
	"time"

	"github.com/grpc-sse/grpc-sse/internal/event"
)

// Mode says what becomes of records that no reader was written yet, and whom the writer waits for.
type Mode int

const (
	// Paced is for a call of one client: what was not sent is kept, and the writer waits for the reader (WaitRoom). Limits
	// bounds what was sent.
	Paced Mode = iota
	// Newest is for a call that goes on whether anybody reads or not: the newest records within Limits are kept and the
	// writer never waits. Where the budget is used up WaitRoom answers ErrBudget.
	Newest
	// Shared is for a call of many clients, each of which reads at its own pace: the newest records within Limits are kept,
	// whoever has read them, and no reader makes the writer wait. Where the budget is short fewer are kept; the writer waits
	// only when that does not help.
	Shared
)

// Limits bounds what is kept for readers that come back or lag behind. Whichever is reached first counts. One record is
// kept in any case.
type Limits struct {
	Age    time.Duration
	Events int
	Bytes  int
}

// Options are what a log is made with.
type Options struct {
	Limits Limits
	// Mode is Paced if not set.
	Mode Mode
	// First is the cursor before the first record, which gets First + 1.
	First event.Position
	// Mark names the log's first generation.
	Mark event.Mark
	// Beside is how many bytes are kept beside the records for as long as the log is. They count in the budget.
	Beside int
	// BesideRecord is how many bytes are kept beside each record for as long as that is. They count in the budget, too.
	BesideRecord int
	// Budget is shared with the other logs. Nil means no bound over all.
	Budget *Budget
	// Evicted is called, without locks held, when the budget took this log away. May be nil.
	Evicted func()
	// Now tells the time. Nil means the computer's, and is faster: ages are then counted without asking for the date.
	Now func() time.Time
}
