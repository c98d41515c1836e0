package ingest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
)

// asServer makes the test's binary the backend.
const asServer = "INGEST_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		if err := serve(); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// message is what the backend sends: 200 bytes.
var message = func() []byte {
	m := &feedv1.WatchFeedResponse{Sequence: 1 << 20, Kind: "comment"}
	for proto.Size(m) < 200 {
		m.Text += "x"
	}
	wire, err := proto.Marshal(m)
	if err != nil || len(wire) != 200 {
		panic(fmt.Sprintf("%d bytes: %v", len(wire), err))
	}
	return wire
}()

// rawCodec moves bytes, and drops what it receives.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if b, ok := v.(*[]byte); ok {
		*b = data.Materialize()
	}
	return nil
}

// request asks the backend for so many messages.
func request(messages int) []byte { return binary.AppendUvarint(nil, uint64(messages)) }

// serve is the backend in a process of its own. It ends with its standard input.
func serve() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := newServer()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	return server.Serve(listener)
}

// newServer makes the backend: it answers every method with as many messages as the request says, as fast as it can.
func newServer() *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			var asked []byte
			if err := s.RecvMsg(&asked); err != nil {
				return err
			}
			messages, _ := binary.Uvarint(asked)
			for range messages {
				if err := s.SendMsg(message); err != nil {
					return err
				}
			}
			return nil
		}),
	)
}

// startInside starts the backend in this process, until the end of the test.
func startInside(tb testing.TB) (address string) {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := newServer()
	var work sync.WaitGroup
	work.Go(func() { _ = server.Serve(listener) })
	tb.Cleanup(func() {
		server.Stop()
		work.Wait()
	})
	return listener.Addr().String()
}

// startServer starts the backend in a process of its own, on one core, until the end of the test.
func startServer(tb testing.TB) (address string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line := make([]byte, 64)
	n, err := stdout.Read(line)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// usage is what the process has used so far.
type usage struct {
	cpu     time.Duration
	mallocs uint64
	bytes   uint64
}

func used(tb testing.TB) usage {
	tb.Helper()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return usage{cpu: cpuTime(tb), mallocs: memory.Mallocs, bytes: memory.TotalAlloc}
}
