package main

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

// started runs scriptd and returns a connection to it, its address, and a function that ends it.
func started(t *testing.T, args ...string) (*grpc.ClientConn, string, func()) {
	t.Helper()
	stdin, closeStdin := io.Pipe()
	stdout, w := io.Pipe()
	ended := make(chan error, 1) // one slot, so that run can end before it is asked for
	go func() { ended <- run(t.Context(), args, stdin, w, io.Discard) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(line)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn, addr, func() {
		_ = conn.Close()
		closeStdin.Close()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func TestServesUntilInputEnds(t *testing.T) {
	conn, _, end := started(t)
	defer end()
	got, err := scriptv1.NewScriptServiceClient(conn).Echo(t.Context(), &scriptv1.EchoRequest{Text: "hi"})
	if err != nil || got.GetText() != "hi" {
		t.Errorf("Echo: %v, %v", got, err)
	}
}

// What was read from one process goes on in the one that takes its place.
func TestStartedAgainItGoesOn(t *testing.T) {
	flags := []string{"-principals", "-log", `{"stream":"s","begin":"2026-01-01T00:00:00Z","every":"3600s","size":10,"last":"20"}`}
	var chain script.Chain
	listen := "127.0.0.1:0"
	for _, after := range []uint64{0, 10} {
		conn, addr, end := started(t, append(flags, "-listen", listen)...)
		listen = addr
		events, err := scriptv1.NewBroadcastServiceClient(conn).WatchPublic(t.Context(), &scriptv1.BroadcastRequest{Stream: "s", AfterSequence: after})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			e, err := events.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if err := chain.Add(script.LinkOf(e)); err != nil {
				t.Fatal(err)
			}
		}
		end()
	}
	if chain.Checked != 20 {
		t.Errorf("%d events, want 20", chain.Checked)
	}
}

func TestRefusesBadFlagsAndAddresses(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"-listen", "nowhere:port"}, {"-log", "{"}, {"-log", "{}"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
