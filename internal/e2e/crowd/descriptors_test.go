//go:build unix

package crowd_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDescriptorLimit: more clients come than the bridge may open files, all at once and again and again. Those for whom
// there is no room are reset or told to come back; those who are served notice nothing, probes are answered, and the backend can be
// dialled anew. The log says it once. When some leave, others get their places.
func TestDescriptorLimit(t *testing.T) {
	const files, last = 400, 120
	ctx, random := guarded(t), rand.New(rand.NewPCG(seed(t), 0))
	back := startBackend(t)
	bridge := startBridge(t, back.address, roomy, files)
	begin := time.Now()
	c := newCrowd(t)
	b := back.log("log", 200, last, true)
	served := make([]*reader, 200)
	for i := range served {
		served[i] = c.add(b, bridge.address, "earliest", rand.New(rand.NewPCG(random.Uint64(), 0)))
		served[i].next = 1
	}
	c.start(ctx, served...)
	eventually(ctx, t, "the first are served", func() bool { return slowest(served) >= 1 || c.broken() })

	// The flood has a stream of its own. Some of it comes when that is over, and gets another call.
	flood, waiting := newCrowd(t), back.log("flood", 0, last, false)
	flood.dialing = make(chan struct{}, 3*files)
	for range 3 * files {
		r := flood.add(waiting, bridge.address, "earliest", rand.New(rand.NewPCG(random.Uint64(), 0)))
		r.next = 1
	}
	flood.start(ctx, flood.readers...)
	refused := func() int64 { return flood.counts.unanswered.Load() + flood.counts.busy.Load() }
	eventually(ctx, t, "the bridge is full", func() bool { return refused() > files })

	for n := range 5 {
		if err := bridge.probe(ctx, oneConnection); err != nil {
			t.Errorf("probe %d: %v", n, err)
		}
		back.Append(b.stream, 10)
		eventually(ctx, t, "who is served gets the events", func() bool { return slowest(served) >= 1+10*(n+1) || c.broken() })
	}
	back.stop()
	back.start()
	back.Append(b.stream, last-51)
	c.finish() // all have read the whole stream; their places are free
	if n := c.counts.left.Load() + c.counts.busy.Load(); n > 0 {
		t.Errorf("%d connections that were served have ended", n)
	}
	back.Append(waiting.stream, last-1)
	flood.finish()
	if err := bridge.probe(ctx, oneConnection); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	eventually(ctx, t, "the files are closed", func() bool { return bridge.files() < 60 })
	checkLog(t, bridge, time.Since(begin))
}

// checkLog checks that the log says that connections are refused, once a minute and no more, and nothing of files that
// could not be opened.
func checkLog(t *testing.T, b *bridge, took time.Duration) {
	t.Helper()
	lines := b.log.lines("connections are refused")
	if most := 1 + int(took/time.Minute); len(lines) == 0 || len(lines) > most {
		t.Errorf("the log says %d times that connections are refused, want 1 to %d: %s", len(lines), most, strings.Join(lines, "\n"))
	}
	if lines := b.log.lines("too many open files"); len(lines) > 0 {
		t.Errorf("%d lines like %s", len(lines), lines[0])
	}
}

// oneConnection makes requests over connections of their own.
var oneConnection = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// TestNoDescriptors: the limit is lowered under a bridge that runs, so that nothing can be opened any more: no connection, no
// second descriptor for one. Those who are served go on; those who come wait or are refused, and nobody gets half an
// answer. When there is room again they are served.
func TestNoDescriptors(t *testing.T) {
	const last = 60
	ctx, random := guarded(t), rand.New(rand.NewPCG(seed(t), 0))
	back := startBackend(t)
	bridge := startBridge(t, back.address, roomy, 0)
	c := newCrowd(t)
	b := back.log("log", 200, last, true)
	for i := range 400 {
		r := c.add(b, bridge.address, "earliest", rand.New(rand.NewPCG(random.Uint64(), 0)))
		r.next = 1
		if i >= 200 {
			r.fate = cutter(4, last*600) // they come back all the time
		}
	}
	served, late := c.readers[:200], c.readers[200:]
	c.start(ctx, served...)
	eventually(ctx, t, "the first are served", func() bool { return slowest(served) >= 1 || c.broken() })
	keeping := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer keeping.CloseIdleConnections()
	if err := bridge.probe(ctx, keeping); err != nil {
		t.Fatal(err)
	}
	restore := lowerFiles(t, bridge.pid, bridge.files()+3) // a few get in, and can have no second descriptor
	c.start(ctx, late...)
	for n := 1; n < last/2; n += 5 {
		back.Append(b.stream, 5)
		eventually(ctx, t, "who is served gets the events", func() bool { return slowest(served) >= n+5 || c.broken() })
		if err := bridge.probe(ctx, keeping); err != nil {
			t.Errorf("a probe that has its connection: %v", err)
		}
	}
	restore()
	eventually(ctx, t, "the others are served", func() bool { return slowest(late) >= 1 || c.broken() })
	if err := bridge.probe(ctx, oneConnection); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	_, head := back.Bounds(b.stream)
	back.Append(b.stream, last-head)
	c.finish()
	for _, r := range served {
		if r.connections != 2 { // the second was told that there is nothing more
			t.Errorf("reader %d, who was served, has made %d connections", r.number, r.connections)
		}
	}
	eventually(ctx, t, "the files are closed", func() bool { return bridge.files() < 60 })
	if n := len(bridge.log.lines("too many open files")); n > 5 {
		t.Errorf("the log says %d times that there are too many open files", n)
	}
	if err := context.Cause(ctx); err != nil {
		t.Error(fmt.Errorf("it took too long: %w", err))
	}
}
