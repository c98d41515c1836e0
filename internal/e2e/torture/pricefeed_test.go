//go:build unix

package torture_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// The sizes of TestPriceFeed.
var (
	browsersFlag = number("browsers", 1000, "how many clients read the price feed")
	outageFlag   = number("outage", 10, "for how many seconds the price feed's backend is down")
)

// audience is everybody who reads the price feed.
type audience []*browser

// reached reports whether everybody has event n.
func (a audience) reached(n uint64) bool {
	for _, b := range a {
		if b.sequence.Load() < n {
			return false
		}
	}
	return true
}

// await waits until everybody has event n, or somebody saw something wrong.
func (a audience) await(ctx context.Context, t *testing.T, n uint64) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !a.reached(n) && !a.wrong(t) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not everybody got event %d", n)
		}
	}
}

// wrong reports whether somebody saw something wrong, and says what.
func (a audience) wrong(t *testing.T) bool {
	t.Helper()
	count, first := 0, ""
	for _, b := range a {
		if w := b.wrong.Load(); w != nil {
			count++
			first = *w
		}
	}
	if count > 0 {
		t.Fatalf("%d of %d saw something wrong, such as: %s", count, len(a), first)
	}
	return false
}

// TestPriceFeed: a method that is shared by all, begins with the newest event of each key and has a cursor costs its
// backend one call, however many browsers read it. When the backend crashes they see a pause. When the bridge crashes,
// each of them goes on with the event that follows what it has.
func TestPriceFeed(t *testing.T) {
	ctx := guarded(t)
	const name, path = "prices", "/v1/keyed/prices"
	s := newStage(t, []*scriptv1.Log{{
		Stream: name, Head: 40, Begin: timestamppb.New(time.Now()), Every: durationpb.New(200 * time.Millisecond), Keys: 8, Size: 50,
	}}, "")
	head := func() uint64 {
		now, err := s.logs.GetLog(ctx, &scriptv1.GetLogRequest{Stream: name})
		if err != nil {
			t.Fatal(err)
		}
		return now.GetHead()
	}
	reading, leave := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer leave()
	all := make(audience, *browsersFlag)
	for i := range all {
		b := &browser{address: s.bridge.address, path: path}
		all[i] = b
		work.Go(func() {
			pause(time.Duration(rand.IntN(2000)) * time.Millisecond)
			b.run(reading)
		})
	}
	all.await(ctx, t, head()+5)
	all.await(ctx, t, head()+2)
	if calls := s.calls(ctx, name); len(calls) != 1 || calls[0].GetCursor() != "" {
		t.Fatalf("%d browsers cost the backend these calls, want one: %v", len(all), calls)
	}

	begin := time.Now()
	s.backend.kill()
	pause(time.Duration(*outageFlag) * time.Second)
	s.backend.start()
	all.await(ctx, t, head()+5)
	t.Logf("the backend was away for %ds; everybody is up to date %v after its crash", *outageFlag, time.Since(begin).Round(time.Millisecond))
	for _, b := range all {
		if b.connections.Load() != 1 || *outageFlag > 1 && b.waits.Load() == 0 {
			t.Fatalf("%d connections and %d times stream.waiting, want one connection that shows the pause", b.connections.Load(), b.waits.Load())
		}
	}
	if calls := s.calls(ctx, name); len(calls) != 1 || !strings.HasPrefix(calls[0].GetCursor(), "after ") {
		t.Fatalf("the backend that came back got these calls, want one that goes on: %v", calls)
	}

	begin = time.Now()
	s.bridge.kill()
	s.bridge.start()
	all.await(ctx, t, head()+10)
	t.Logf("everybody is up to date %v after the bridge's crash", time.Since(begin).Round(time.Millisecond))
	calls := s.calls(ctx, name)
	asRequested := 0
	for _, c := range calls[1:] {
		if c.GetCursor() == "" {
			asRequested++
		}
	}
	t.Logf("%d calls since then", len(calls)-1)
	if asRequested != 1 || len(calls) > 1+1+64 {
		t.Errorf("%d calls since then, %d of them as requested: want one that all share, and at most 64 that catch up", len(calls)-1, asRequested)
	}
	for _, b := range all {
		if b.connections.Load() < 2 {
			t.Error("a browser did not come back")
		}
	}
	all.wrong(t)
}
