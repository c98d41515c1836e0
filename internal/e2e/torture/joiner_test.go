//go:build unix

package torture_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

var backlogFlag = number("backlog", 1_000_000, "how many events a client has missed that comes back after a crash of the bridge")

// TestLateJoiners: clients join while events come as fast as they can. Whatever each begins with, nothing is missing and
// nothing comes twice between that and what follows.
func TestLateJoiners(t *testing.T) {
	const joiners, enough = 200, 300
	ctx, cancel := context.WithTimeout(guarded(t), 2*time.Minute)
	defer cancel()
	var logs []*scriptv1.Log
	paths := []string{"/v1/public/", "/v1/earliest/", "/v1/keyed/"}
	for i := range paths {
		logs = append(logs, &scriptv1.Log{Stream: fmt.Sprintf("burst%d", i), Head: 100, Keys: 50, BeginAt: oldest})
	}
	// Everybody keeps up with the log: who is too slow would be told, and this is about those who are not.
	s := newStage(t, logs, "rules:\n"+strings.Join([]string{bigLog("WatchPublic"), bigLog("WatchEarliest"), bigLog("WatchKeyed")}, ""))
	clients := make([]*oracle.Client, joiners)
	transcripts := make([]*oracle.Transcript, joiners)
	var work sync.WaitGroup // of who runs until the test ends
	for i := range clients {
		clients[i] = &oracle.Client{
			URL:   "http://" + s.bridge.address + paths[i%len(paths)] + logs[i%len(paths)].GetStream(),
			HTTP:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
			Until: events(enough), // the place where the two parts meet lies before that
		}
	}
	read := func(i int) {
		var err error
		if transcripts[i], err = clients[i].Run(ctx); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	var first []*browser // keep the calls running
	for i, path := range paths {
		b := &browser{address: s.bridge.address, path: path + logs[i].GetStream()}
		first = append(first, b)
	}
	reading, leave := context.WithCancel(ctx)
	defer work.Wait()
	defer leave()
	for _, b := range first {
		work.Go(func() { b.run(reading) })
		for b.sequence.Load() < 100 && ctx.Err() == nil {
			pause(time.Millisecond)
		}
	}
	done := make(chan struct{}) // closed when all joiners have enough
	for _, log := range logs {
		work.Go(func() { s.burst(ctx, log.GetStream(), done) })
	}
	var joining sync.WaitGroup
	for i := range clients {
		joining.Go(func() { read(i) })
		pause(3 * time.Millisecond)
	}
	joining.Wait()
	close(done)
	for i, transcript := range transcripts {
		if transcript == nil {
			continue
		}
		log := logs[i%len(paths)].GetStream()
		if err := oracle.Check(transcript, log, false); err != nil {
			t.Errorf("client %d of %s: %s", i, log, brief(err))
		}
		if reasons := oracle.Resets(transcript); len(reasons) > 0 || len(transcript.Connections) != 1 {
			t.Errorf("client %d of %s: %d connections, resets %v", i, log, len(transcript.Connections), reasons)
		}
	}
}

// burst adds events to a log, in bursts with nearly nothing between, until done is closed.
func (s *stage) burst(ctx context.Context, log string, done <-chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-done:
			return
		default:
		}
		if _, err := s.logs.AppendEvents(ctx, &scriptv1.AppendEventsRequest{Stream: log, Count: 50}); err != nil {
			s.t.Errorf("adding events to %s: %v", log, err)
			return
		}
		pause(5 * time.Millisecond)
	}
}

// bigLog is the rule of a method whose log keeps everything that these tests send.
func bigLog(method string) string {
	return "- {selector: demo.script.v1.BroadcastService." + method + ", stream: {retention: {events: 200000, bytes: 134217728}}}\n"
}

// events is true at the n-th event that is none of a snapshot.
func events(n int) func(oracle.Record) bool {
	return func(r oracle.Record) bool {
		if !strings.HasPrefix(r.Event, "stream.") && !strings.Contains(r.ID, "~s") {
			n--
		}
		return n <= 0
	}
}

// TestBacklog: a client comes back to a bridge that has crashed, and has missed a million events. It gets them all, once
// each, and the bridge's memory does not grow with their number. One that shares its call has missed fewer, since a call
// that catches up with a shared one is bounded; it gets them all, too.
func TestBacklog(t *testing.T) {
	const sharedBacklog = 90_000
	for _, test := range []struct {
		name, path string
		missed     uint64
	}{
		{"own", "/v1/own/", *backlogFlag},
		{"shared", "/v1/public/", min(sharedBacklog, *backlogFlag)},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(guarded(t), 4*time.Minute)
			defer cancel()
			s := newStage(t, []*scriptv1.Log{{Stream: "backlog", Head: 1, BeginAt: oldest, Size: 100}}, "")
			b := &browser{address: s.bridge.address, path: test.path + "backlog"}
			before, leave := context.WithCancel(ctx)
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				b.run(before)
			}()
			for b.sequence.Load() < 1 && ctx.Err() == nil {
				pause(time.Millisecond)
			}
			leave()
			<-stopped
			s.bridge.kill()
			// From here on the backend begins a call without a cursor with the next event, as live feeds do.
			s.define(ctx, &scriptv1.Log{Stream: "backlog", Head: 1 + test.missed, BeginAt: live, Size: 100})
			s.bridge.start()

			begin, base, most := time.Now(), resident(t, s.bridge), 0
			grown := make(chan struct{})
			reading, stop := context.WithCancel(ctx)
			go func() {
				defer close(grown)
				b.run(reading)
			}()
			for b.sequence.Load() < 1+test.missed && b.wrong.Load() == nil && ctx.Err() == nil {
				most = max(most, resident(t, s.bridge))
				pause(20 * time.Millisecond)
			}
			// One more event shows that a shared reader has met the shared call, or is at its own call's end.
			s.append(ctx, "backlog", 1)
			for b.sequence.Load() < 2+test.missed && b.wrong.Load() == nil && ctx.Err() == nil {
				pause(time.Millisecond)
			}
			stop()
			<-grown
			if wrong := b.wrong.Load(); wrong != nil {
				t.Fatal(*wrong)
			}
			t.Logf("%d events in %v; the bridge took %d MB before and %d MB at most", test.missed,
				time.Since(begin).Round(time.Millisecond), base>>20, most>>20)
			// The log may hold 8 MB of them, and garbage as much as that again.
			if limit := base + 64<<20; most > limit {
				t.Errorf("the bridge took %d MB, want at most %d", most>>20, limit>>20)
			}
		})
	}
}

// resident is how many bytes of memory a process has.
func resident(t *testing.T, d *daemon) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system does not say how much memory a process has: %v", err)
	}
	fields := bytes.Fields(text)
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
