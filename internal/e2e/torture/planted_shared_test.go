//go:build unix

package torture_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// A planted stream has these events when its reader comes, when its reader is cut, when the bridge crashes, and at its
// end.
const (
	headAtStart = 20
	headAtCut   = 40
	headAtCrash = 60
	headAtEnd   = 80
	afterCrash  = headAtCrash + 1 // the first event that the bridge has after its crash and the reader has not
)

// changedID is frame with another id.
func changedID(frame string, change func(position int, rest string) string) string {
	head, line, _ := strings.Cut(frame, "id: ")
	id, tail, _ := strings.Cut(line, "\n")
	digits, rest, _ := strings.Cut(id, ".")
	position, err := strconv.Atoi(digits)
	if err != nil {
		panic(err)
	}
	return head + "id: " + change(position, rest) + "\n" + tail
}

// backendCursor changes the backend's cursor in a presented id; it takes it away where change returns 0.
func backendCursor(change func(uint64) uint64) func(*http.Request) {
	return func(r *http.Request) {
		const check = 5
		id, cursor, ok := strings.Cut(r.Header.Get("Last-Event-ID"), "~c")
		if !ok {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(cursor[check:])
		if err != nil {
			panic(err)
		}
		n, _ := binary.Uvarint(raw)
		if n = change(n); n > 0 {
			id += "~c" + cursor[:check] + base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(nil, n))
		}
		r.Header.Set("Last-Event-ID", id)
	}
}

// without loses all frames of this type.
func without(event string) func(string, string) string {
	return func(e, frame string) string {
		if e == event {
			return ""
		}
		return frame
	}
}

// plantedShared are bugs that sharing and resuming could have.
func plantedShared(quiet int) []plantedFault {
	earliest, keyed, restarted := kindOf("earliest"), kindOf("keyed"), kindOf("shared")
	lost := func(string) []string { return nil }
	return []plantedFault{
		{"none, from the first event on", earliest, nil, nil},
		{"none, with a snapshot", keyed, nil, nil},
		{"none, without a cursor", restarted, nil, nil},
		{"the event at which two calls meet comes from both", earliest, &fault{frame: at(afterCrash, func(f string) []string {
			return []string{changedID(f, func(position int, rest string) string {
				return fmt.Sprintf("%d.AAAAAAAAAAAAAAAA%s", position-1, rest[16:])
			}), f}
		})}, []string{"chain", "whole"}},
		{"the event after the one to resume from is skipped", earliest, &fault{frame: at(afterCrash, lost)}, []string{"chain", "whole"}},
		{"the same, in a stream that begins with a snapshot", keyed, &fault{frame: at(afterCrash, lost)}, []string{"chain", "latest"}},
		{"an event between the snapshot and what follows is lost", keyed, &fault{frame: at(headAtStart+1, lost)}, []string{"contiguous"}},
		{"a key is missing in the snapshot", keyed, &fault{frame: at(quiet, lost)}, []string{"latest"}},
		{"an event of the snapshot is under another key", keyed, &fault{frame: at(quiet, func(f string) []string {
			return []string{strings.Replace(f, `"key":"key`, `"key":"key9`, 1)} // there are 60: no other has this one
		})}, []string{"latest"}},
		{"the snapshot is not closed", keyed, &fault{control: without("stream.bookmark")}, []string{"snapshot"}},
		{"positions fall when the bridge has lost its log", earliest, &fault{frame: func(n int, f string) []string {
			if n == 0 || n > headAtCrash {
				f = changedID(f, func(position int, rest string) string { return fmt.Sprintf("%d.%s", position-1e9, rest) })
			}
			return []string{f}
		}}, []string{"rising"}},
		{"a reset is not said", restarted, &fault{control: without("stream.reset")}, []string{"announced", "chain"}},
		{"a loss is taken for a resumption", restarted, &fault{control: func(event, f string) string {
			if event == "stream.reset" {
				return ""
			}
			return strings.Replace(f, `"resumed":false,"reason":"unknown_cursor"`, `"resumed":true`, 1)
		}}, []string{"chain"}},
		{"resumed behind a later event of the backend's", earliest, &fault{request: backendCursor(func(n uint64) uint64 {
			return n + 1
		})}, []string{"chain", "opened", "whole"}},
		{"resumed behind an earlier event of the backend's", earliest, &fault{request: backendCursor(func(n uint64) uint64 {
			return n - 1
		})}, []string{"chain", "opened", "whole"}},
		{"the backend's cursor is forgotten", earliest, &fault{request: backendCursor(func(uint64) uint64 {
			return 0
		})}, []string{"opened", "whole"}},
		{"an event of another stream", earliest, &fault{frame: at(afterCrash, foreign)}, []string{"isolated", "whole"}},
	}
}

type plantedFault struct {
	name  string
	kind  kind
	fault *fault
	want  []string // the promises that it breaks
}

func kindOf(name string) kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	panic(name)
}

// planted is one reader of a stream with a fault.
type planted struct {
	plantedFault
	channel    *channel
	network    *network
	seen       atomic.Uint64 // the number of the newest event
	done       chan struct{} // closed when what follows is there
	transcript *oracle.Transcript
	err        error
}

// TestPlantedFaultsInSharedStreams shows that TestTortureShared can fail: each bug, once in one stream, breaks the
// promises that it should, and no other. Each stream is cut once, and the bridge crashes once.
func TestPlantedFaultsInSharedStreams(t *testing.T) {
	ctx, cancel := context.WithTimeout(guarded(t), 2*time.Minute) // a fault can keep a client coming back for ever
	defer cancel()
	like := &scriptv1.Log{Stream: "x", Head: headAtEnd, Keys: 60, BeginAt: oldest}
	same := script.New()
	if err := same.DefineLog(like); err != nil {
		t.Fatal(err)
	}
	state := same.State("x")
	quiet := 0 // an event of the snapshot whose key has no newer one
	for _, n := range state {
		if n < headAtStart {
			quiet = max(quiet, int(n))
		}
	}
	var all []*planted
	var logs []*scriptv1.Log
	for i, f := range plantedShared(quiet) {
		log := proto.CloneOf(like)
		log.Stream, log.Head = fmt.Sprintf("planted%d", i), headAtStart
		all = append(all, &planted{plantedFault: f, channel: &channel{kind: f.kind, log: log, readers: 1}})
		logs = append(logs, log)
	}
	s := newStage(t, logs, "")
	var work sync.WaitGroup
	keepers, leave := context.WithCancel(ctx)
	defer work.Wait()
	defer leave()
	for _, p := range all {
		// Somebody else reads already: who comes finds a log, and begins with a snapshot where the method says so.
		keeper := &browser{address: s.bridge.address, path: p.kind.path + p.channel.log.GetStream()}
		work.Go(func() { keeper.run(keepers) })
		for keeper.sequence.Load() < headAtStart && ctx.Err() == nil {
			pause(5 * time.Millisecond)
		}
		p.read(ctx, t, s)
	}
	reach := func(n uint64) {
		for _, p := range all {
			for p.seen.Load() < n && ctx.Err() == nil {
				pause(5 * time.Millisecond)
			}
		}
	}
	grow := func(n uint64) {
		for _, log := range logs {
			s.append(ctx, log.GetStream(), n)
		}
	}
	reach(headAtStart)
	grow(headAtCut - headAtStart)
	reach(headAtCut)
	for _, p := range all {
		p.network.cutAll()
	}
	grow(headAtCrash - headAtCut)
	reach(headAtCrash)
	s.bridge.kill()
	s.bridge.start()
	grow(headAtEnd - headAtCrash)
	for _, log := range logs {
		log.Head, log.Last = headAtCrash, headAtEnd
		s.define(ctx, log)
	}
	for _, p := range all {
		<-p.done
		name := p.channel.log.GetStream()
		err := p.channel.check([]*oracle.Transcript{p.transcript}, map[string]uint64{name: headAtEnd}, map[string]map[string]uint64{name: state})
		if p.err != nil {
			t.Errorf("%s: %v", p.name, p.err)
		}
		if diff := cmp.Diff(p.want, promises(err)); diff != "" {
			t.Errorf("%s: broken promises (-want +got):\n%s\n%v", p.name, diff, err)
		}
	}
}

func (p *planted) read(ctx context.Context, t *testing.T, s *stage) {
	t.Helper()
	p.network = &network{
		target: s.bridge.address, tally: &tally{}, random: rand.New(rand.NewPCG(0, 0)), fault: p.fault,
		next: func(*rand.Rand, int) fate { return fate{after: -1} },
	}
	client := p.channel.client(p.network.start(t), 0)
	client.OnRecord = func(r oracle.Record) {
		if link, err := oracle.DecodeLink(r.Data); err == nil && !strings.HasPrefix(r.Event, "stream.") && link.Stream != "other" {
			p.seen.Store(link.N)
		}
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		p.transcript, p.err = client.Run(ctx)
	}()
}
