package script

import (
	"context"
	"fmt"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// Await blocks until ok, given the calls of this name (all calls for ""), returns true. It looks again after every
// change: a call that begins or ends, a message that was sent. The error says what was there when ctx ended.
func (b *Backend) Await(ctx context.Context, stream string, ok func([]*scriptv1.Call) bool) error {
	b.waiters.Add(1)
	defer b.waiters.Add(-1)
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		calls := b.Calls(stream)
		if ok(calls) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("script: gave up waiting (%w) with calls %v", context.Cause(ctx), calls)
		}
	}
}

// AllEnded is a condition for [Backend.Await]: n calls or more have begun, and all of them have ended.
func AllEnded(n int) func([]*scriptv1.Call) bool {
	return func(calls []*scriptv1.Call) bool {
		for _, c := range calls {
			if !c.GetEnded() {
				return false
			}
		}
		return len(calls) >= n
	}
}

// Sent is a condition for [Backend.Await]: all calls together could send n messages or more.
func Sent(n uint64) func([]*scriptv1.Call) bool {
	return func(calls []*scriptv1.Call) bool {
		var sent uint64
		for _, c := range calls {
			sent += c.GetSent()
		}
		return sent >= n
	}
}

// Begun is a condition for [Backend.Await]: n calls or more have begun.
func Begun(n int) func([]*scriptv1.Call) bool {
	return func(calls []*scriptv1.Call) bool { return len(calls) >= n }
}

func (b *Backend) notify() {
	if b.waiters.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}
