package main

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

func TestServesUntilInputEnds(t *testing.T) {
	stdin, closeStdin := io.Pipe()
	stdout, w := io.Pipe()
	ended := make(chan error, 1) // one slot, so that run can end before it is asked for
	go func() { ended <- run(t.Context(), nil, stdin, w, io.Discard) }()
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(strings.TrimSpace(addr), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := scriptv1.NewScriptServiceClient(conn).Echo(t.Context(), &scriptv1.EchoRequest{Text: "hi"})
	if err != nil || got.GetText() != "hi" {
		t.Errorf("Echo: %v, %v", got, err)
	}
	closeStdin.Close()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestRefusesBadFlagsAndAddresses(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"-listen", "nowhere:port"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
