//go:build unix

package torture_test

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// stage is a backend and a bridge in processes of their own.
type stage struct {
	t               testing.TB
	backend, bridge *daemon
	logs            scriptv1.LogServiceClient
	control         scriptv1.ControlServiceClient
}

// newStage starts a backend with these logs, and a bridge in front of it with this config beside its backend.
func newStage(t testing.TB, logs []*scriptv1.Log, config string) *stage {
	t.Helper()
	s := &stage{t: t}
	s.backend = newDaemon(t, "scriptd", func(address string) []string {
		args := []string{"-principals", "-listen", address}
		for _, log := range logs {
			text, err := protojson.Marshal(log)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, "-log", string(text))
		}
		return args
	})
	s.backend.start()
	s.bridge = newBridge(t, s.backend.address, config)
	s.bridge.start()
	conn, err := grpc.NewClient(s.backend.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s.logs, s.control = scriptv1.NewLogServiceClient(conn), scriptv1.NewControlServiceClient(conn)
	return s
}

// newBridge makes a bridge with a port of its own that does not run yet.
func newBridge(t testing.TB, upstream, config string) *daemon {
	t.Helper()
	return newDaemon(t, "grpc-sse", func(address string) []string {
		return []string{"serve", "--config", bridgeConfig(t, upstream, "listen: "+address+"\nprincipal: {header: x-user}\n"+config)}
	})
}

// calls are those that the backend has had of a log since it was started.
func (s *stage) calls(ctx context.Context, log string) []*scriptv1.Call {
	s.t.Helper()
	r, err := s.control.ListCalls(ctx, &scriptv1.ListCallsRequest{Stream: log})
	if err != nil {
		s.t.Fatalf("asking the backend for its calls: %v", err)
	}
	return r.GetCalls()
}

// append adds events to a log.
func (s *stage) append(ctx context.Context, log string, count uint64) {
	s.t.Helper()
	if _, err := s.logs.AppendEvents(ctx, &scriptv1.AppendEventsRequest{Stream: log, Count: count}); err != nil {
		s.t.Fatalf("adding events to %s: %v", log, err)
	}
}

// define changes a log.
func (s *stage) define(ctx context.Context, log *scriptv1.Log) {
	s.t.Helper()
	if _, err := s.logs.DefineLog(ctx, &scriptv1.DefineLogRequest{Log: log}); err != nil {
		s.t.Fatalf("changing the log %s: %v", log.GetStream(), err)
	}
}

// chaos is what is done to a stage, and to the networks in front of it.
type chaos struct {
	*stage
	random   *rand.Rand
	logs     []*scriptv1.Log
	networks []*network
	counts   map[string]int
}

// faults are what can happen. When one is over everything runs again, but need not have recovered.
var faults = []struct {
	name string
	do   func(context.Context, *chaos)
}{
	{"bridge crashes", func(_ context.Context, c *chaos) {
		c.bridge.kill()
		c.wait(500)
		c.bridge.start()
	}},
	{"backend crashes", func(_ context.Context, c *chaos) {
		c.backend.kill()
		c.wait(1500)
		c.backend.start()
	}},
	{"bridge restarts", func(_ context.Context, c *chaos) {
		c.bridge.stop()
		c.wait(200)
		c.bridge.start()
	}},
	{"calls end", interrupt},
	{"connections to the backend are cut", func(ctx context.Context, c *chaos) {
		c.interrupt(ctx, nil)
	}},
	{"bridge stands still", func(_ context.Context, c *chaos) {
		c.bridge.signal(syscall.SIGSTOP)
		c.wait(800)
		c.bridge.signal(syscall.SIGCONT)
	}},
	{"backend stands still", func(_ context.Context, c *chaos) {
		c.backend.signal(syscall.SIGSTOP)
		c.wait(1500)
		c.backend.signal(syscall.SIGCONT)
	}},
	{"all clients are cut", func(_ context.Context, c *chaos) {
		for _, n := range c.networks {
			n.cutAll()
		}
	}},
	{"backend crashes while the bridge is down", func(_ context.Context, c *chaos) {
		c.bridge.kill()
		c.backend.kill()
		c.bridge.launch() // answers that it is starting
		c.wait(500)
		c.backend.start()
		c.bridge.ready()
	}},
}

func interrupt(ctx context.Context, c *chaos) {
	transient := []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.DeadlineExceeded}
	c.interrupt(ctx, &scriptv1.Fail{Code: uint32(transient[c.random.IntN(len(transient))]), Message: "interrupted"})
}

// interrupt ends the calls of a tenth of all logs.
func (c *chaos) interrupt(ctx context.Context, fail *scriptv1.Fail) {
	for range 1 + len(c.logs)/10 {
		log := c.logs[c.random.IntN(len(c.logs))].GetStream()
		if _, err := c.stage.logs.InterruptCalls(ctx, &scriptv1.InterruptCallsRequest{Stream: log, Fail: fail}); err != nil {
			c.t.Errorf("ending the calls of %s: %v", log, err)
		}
	}
}

// wait waits for at most so many milliseconds.
func (c *chaos) wait(most int) { pause(time.Duration(c.random.IntN(most+1)) * time.Millisecond) }

// run makes count faults, each kind as often as the others, in an order of its own.
func (c *chaos) run(ctx context.Context, count int) {
	var deck []int
	for len(deck) < count {
		deck = append(deck, c.random.Perm(len(faults))...)
	}
	for _, i := range deck[:count] {
		if ctx.Err() != nil {
			return
		}
		c.wait(1500) // what was cut comes back, or does not yet
		c.counts[faults[i].name]++
		faults[i].do(ctx, c)
	}
}
