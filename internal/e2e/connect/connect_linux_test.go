package connect_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crowd is how many connections are opened at once: both ends of each are files of this process.
const crowd = 4000

const settings = `
listen: 127.0.0.1:0
admin: "off"
drain_window: 0s
limits: {connections: 10000}
log: {level: warn}
upstreams: [{name: quiet, target: %q, descriptor_set: %q}]
rules:
  - selector: demo.script.v1.BroadcastService.WatchPublic
    http: {get: "/live/{stream}"}
    stream: {share: PUBLIC, start: LIVE, event: {literal: tick}}
`

// requests are what clients ask with.
var requests = []struct{ name, request string }{
	{"plain", "GET /live/x HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n"},
	{"browser", "GET /live/x HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36\r\n" +
		"Accept: text/event-stream\r\nCache-Control: no-cache\r\nsec-ch-ua: \"Chromium\";v=\"143\", \"Not A(Brand\";v=\"24\"\r\n" +
		"sec-ch-ua-mobile: ?0\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n" +
		"Referer: http://localhost/\r\nAccept-Language: en-GB,en;q=0.9\r\n\r\n"},
}

// BenchmarkConnect is a connect, and what an open connection keeps of the heap and of stacks.
func BenchmarkConnect(b *testing.B) {
	br := start(b, startBackend(b))
	addr := br.Addr().String()
	for _, r := range requests {
		b.Run(r.name, func(b *testing.B) {
			runtime.LockOSThread() // the clients' thread
			defer runtime.UnlockOSThread()
			s := newSwarm(b, addr, fmt.Sprintf(r.request, addr))
			s.connect(1)
			none := held() // before maps have grown
			s.connect(crowd)
			kept := held() - none
			var used usage
			for b.Loop() {
				s.reset()
				await(func() bool { return br.Stats().Readers == 0 })
				before := now(b)
				s.connect(crowd)
				used.add(now(b), before)
			}
			s.reset()
			n := float64(b.N) * crowd
			b.ReportMetric(float64(used.cpu)/n, "cpu-ns/connect")
			b.ReportMetric(float64(used.mallocs)/n, "allocs/connect")
			b.ReportMetric(float64(used.bytes)/n, "B/connect")
			b.ReportMetric(float64(kept)/crowd, "B/open")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// startBackend starts a backend whose calls are open and quiet.
func startBackend(tb testing.TB) (addr string) {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		err := s.SendHeader(metadata.MD{})
		<-s.Context().Done()
		return err
	}))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) }) // until Stop
	tb.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return ln.Addr().String()
}

// start runs a bridge until the test ends.
func start(tb testing.TB, backend string) *bridge.Bridge {
	tb.Helper()
	set, err := proto.Marshal(described(scriptv1.File_demo_script_v1_broadcast_proto))
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "script.binpb")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		tb.Fatal(err)
	}
	loaded, err := config.Parse("connect.yaml", fmt.Appendf(nil, settings, backend, file))
	if err != nil {
		tb.Fatal(err)
	}
	resolved, err := loaded.Resolve()
	if err != nil {
		tb.Fatal(err)
	}
	br, err := bridge.New(resolved, bridge.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := br.Run(ctx); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() {
		cancel()
		running.Wait()
	})
	await(br.Ready)
	return br
}

func await(done func() bool) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !done() {
		<-again.C
	}
}

// held is how much memory is taken by what can be reached, and by stacks.
func held() int64 {
	var m runtime.MemStats
	runtime.GC() // twice: pools keep what they have through one
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// described is a file and all that it imports.
func described(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(file)
	return set
}

// usage is what was used so far: CPU by all threads but the caller's.
type usage struct {
	cpu     time.Duration
	mallocs uint64
	bytes   uint64
}

func now(tb testing.TB) usage {
	tb.Helper()
	var all, own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &all); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &own); err != nil {
		tb.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	cpu := all.Utime.Nano() + all.Stime.Nano() - own.Utime.Nano() - own.Stime.Nano()
	return usage{cpu: time.Duration(cpu), mallocs: m.Mallocs, bytes: m.TotalAlloc}
}

func (u *usage) add(now, before usage) {
	u.cpu += now.cpu - before.cpu
	u.mallocs += now.mallocs - before.mallocs
	u.bytes += now.bytes - before.bytes
}
