//go:build unix

package torture_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// The sizes of a run over shared streams.
var (
	readersFlag  = number("readers", 500, "how many clients read shared streams")
	channelsFlag = number("channels", 50, "how many streams they read")
	faultsFlag   = number("faults", 32, "how often the bridge, its backend or the network between fails")
)

// sharedConfig has room for everything, so that nothing is lost but by faults.
const sharedConfig = "drain_window: 1s\nlimits: {log_bytes: 536870912}\ncompression: {encodings: [zstd, gzip]}\n"

// shared is many clients of many streams, while everything between them and the events fails.
type shared struct {
	t        *testing.T
	seed     uint64
	stage    *stage
	channels []*channel
	tally    tally
	calm     atomic.Bool // nothing is cut any more

	work        sync.WaitGroup
	networks    []*network
	transcripts [][]*oracle.Transcript // by channel and reader
}

// TestTortureShared: over crashes of the bridge and of the backend, and whatever the network does, a reader of a stream
// with a backend cursor gets everything, once and in order, and is never reset; and no reader misses anything without
// being told.
func TestTortureShared(t *testing.T) {
	o := &shared{t: t, seed: *seedFlag}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	t.Logf("seed %d, %d clients, %d streams, %d faults", o.seed, *readersFlag, *channelsFlag, *faultsFlag)
	ctx, cancel := context.WithTimeout(t.Context(), guard+time.Duration(*faultsFlag)*10*time.Second)
	defer cancel()
	begin := time.Now()
	random := rand.New(rand.NewPCG(o.seed, 0))
	var logs []*scriptv1.Log
	count := int(*channelsFlag)
	for i := range count {
		c := drawChannel(random, i, int(*readersFlag)/count, begin)
		o.channels, logs = append(o.channels, c), append(logs, c.logs()...)
	}
	o.stage = newStage(t, logs, sharedConfig)
	failures := &chaos{stage: o.stage, random: random, logs: logs, counts: map[string]int{}}
	o.read(ctx)
	failures.networks = o.networks
	failures.run(ctx, int(*faultsFlag))
	o.calm.Store(true)
	lasts, states := o.end(ctx, logs)
	o.work.Wait()
	o.check(lasts, states)

	sums := o.tally.sums()
	t.Logf("%d MB over %d connections in %v: %d refused, %d cut before the first byte, %d reset, %d closed; %v", sums.bytes>>20,
		sums.connections, time.Since(begin).Round(time.Millisecond), sums.refused, sums.silent, sums.resets, sums.closes, failures.counts)
	if faults := sums.faults(); faults < int(*readersFlag) {
		t.Errorf("%d cuts for %d clients: the network was too good to show anything", faults, *readersFlag)
	}
}

// read lets all readers read, half of them from now on, and the others as time goes by.
func (o *shared) read(ctx context.Context) {
	o.t.Helper()
	o.transcripts = make([][]*oracle.Transcript, len(o.channels))
	for i, c := range o.channels {
		o.transcripts[i] = make([]*oracle.Transcript, c.readers)
		for reader := range c.readers {
			random := rand.New(rand.NewPCG(o.seed, uint64(1+i*1000+reader)))
			late := time.Duration(0)
			if reader%2 == 1 {
				late = time.Duration(random.IntN(700*int(*faultsFlag))) * time.Millisecond
			}
			n := &network{
				target: o.stage.bridge.address, tally: &o.tally, random: random, opaque: c.way(reader).http2,
				next: func(r *rand.Rand, _ int) fate {
					f := draw(r, 6*(8000+40*int(c.log.GetSize())))
					if o.calm.Load() {
						f = fate{after: -1}
					}
					return f
				},
			}
			client := c.client(n.start(o.t), reader)
			o.networks = append(o.networks, n)
			o.work.Go(func() {
				pause(late)
				transcript, err := client.Run(ctx)
				client.HTTP.CloseIdleConnections()
				if o.transcripts[i][reader] = transcript; err != nil {
					o.t.Errorf("seed %d: reader %d of %s: %v", o.seed, reader, c.log.GetStream(), err)
				}
			})
		}
	}
}

// end lets every log end soon, and returns the numbers of their last events and what one knows then.
func (o *shared) end(ctx context.Context, logs []*scriptv1.Log) (lasts map[string]uint64, states map[string]map[string]uint64) {
	o.t.Helper()
	lasts, states = map[string]uint64{}, map[string]map[string]uint64{}
	for _, log := range logs {
		now, err := o.stage.logs.GetLog(ctx, &scriptv1.GetLogRequest{Stream: log.GetStream()})
		if err != nil {
			o.t.Fatalf("asking for the end of %s: %v", log.GetStream(), err)
		}
		ending := proto.CloneOf(log)
		ending.Last = now.GetHead() + 15
		o.stage.define(ctx, ending)
		lasts[log.GetStream()] = ending.GetLast()
		// What follows from the definition and the number is the same in this process.
		same := script.New()
		if err := errors.Join(same.DefineLog(&scriptv1.Log{
			Stream: log.GetStream(), Head: ending.GetLast(), Keys: log.GetKeys(), DeleteOneOf: log.GetDeleteOneOf(),
		})); err != nil {
			o.t.Fatal(err)
		}
		states[log.GetStream()] = same.State(log.GetStream())
	}
	return lasts, states
}

// check checks what everybody got.
func (o *shared) check(lasts map[string]uint64, states map[string]map[string]uint64) {
	var checks sync.WaitGroup
	var events atomic.Int64
	resets := map[string]int{}
	for i, c := range o.channels {
		for _, t := range o.transcripts[i] {
			if t == nil {
				return // was reported
			}
			events.Add(int64(len(t.Records)))
			for reason, n := range oracle.Resets(t) {
				resets[c.name+": "+reason] += n
			}
		}
		checks.Go(func() {
			if err := c.check(o.transcripts[i], lasts, states); err != nil {
				o.t.Errorf("seed %d: %+v: %s", o.seed, c.log, brief(err))
			}
		})
	}
	checks.Wait()
	compressed := int64(0)
	for _, c := range o.channels {
		compressed += c.compressed.Load()
	}
	if compressed == 0 && int(*readersFlag) >= len(ways)*len(o.channels) {
		o.t.Error("no response was compressed")
	}
	o.t.Logf("%d records; resets: %v; readers: %v; %d compressed responses", events.Load(), resets, o.ways(), compressed)
	if len(o.channels) >= len(kinds) && (resets["shared: unknown_cursor"] == 0 || resets["shared: upstream_restarted"] == 0) {
		o.t.Error("no reader of a stream without a cursor was reset: that shows nothing")
	}
}

// ways counts the readers by how they have asked.
func (o *shared) ways() map[string]int {
	counts := map[string]int{}
	for _, c := range o.channels {
		for reader := range c.readers {
			counts[c.way(reader).String()]++
		}
	}
	return counts
}
