package feed_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// TestFinished has a reader come back to a call that is over: whether there is anything to show is for who looks at the
// frames to say, and what is missing is always to be said.
func TestFinished(t *testing.T) {
	everything := func(frames []byte) bool { return bytes.Contains(frames, []byte("event: text")) }
	onlyA := func(frames []byte) bool { return bytes.Contains(frames, []byte("data: a")) }
	for name, c := range map[string]struct {
		start  schema.Start
		keeps  int
		sent   []any
		at     int // the frame whose id is presented, of what the first reader saw
		shows  func([]byte) bool
		wanted bool
	}{
		"has all":                        {schema.StartLive, 100, []any{wire("a", 1), wire("b", 2)}, 2, everything, true},
		"lacks one":                      {schema.StartLive, 100, []any{wire("a", 1), wire("b", 2)}, 1, everything, false},
		"lacks what it is not shown":     {schema.StartLive, 100, []any{wire("a", 1), wire("b", 2)}, 1, onlyA, true},
		"and more behind that":           {schema.StartLive, 100, []any{wire("a", 1), wire("b", 2), wire("a", 3)}, 1, onlyA, false},
		"there was nothing":              {schema.StartLive, 100, nil, 0, everything, true},
		"lacks what is not kept":         {schema.StartLive, 1, []any{wire("a", 1), wire("b", 2)}, 0, onlyA, false},
		"has all of the snapshot":        {schema.StartLatestPerKey, 100, []any{wire("a", 1), wire("b", 2)}, 2, everything, true},
		"lacks a part of it":             {schema.StartLatestPerKey, 100, []any{wire("a", 1), wire("b", 2)}, 1, everything, false},
		"which it is not shown":          {schema.StartLatestPerKey, 100, []any{wire("a", 1), wire("b", 2)}, 1, onlyA, true},
		"the call has ended in an error": {schema.StartLive, 100, []any{wire("a", 1), outcome.New(codes.Internal, "broken").Err()}, 1, everything, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(c.start), func(s *schema.Stream) { s.Retention.Events = c.keeps })
				keeper := w.join("")
				call := <-w.backend.calls
				first := keeper
				call.send(c.sent...)
				if c.start == schema.StartLatestPerKey {
					first = w.join("") // the keeper saw events, not a snapshot
				}
				for range len(c.sent) + 1 {
					first.step()
				}
				close(call.steps)
				synctest.Wait()
				presented := first.events[min(c.at, len(first.events)-1)].ID
				back, err := w.feed.Subscribe(w.request(w.joining(presented)))
				if err != nil {
					t.Fatal(err)
				}
				if got := back.Finished(c.shows); got != c.wanted {
					t.Errorf("behind %s: Finished is %t; the first reader saw %q", presented, got, first.text())
				}
				back.Close()
				closing(keeper)
				if first != keeper {
					closing(first)
				}
			})
		})
	}
}
