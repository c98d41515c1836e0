package script_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
)

func links(t *testing.T, r *scriptv1.ChainRequest) []*scriptv1.ChainResponse {
	t.Helper()
	conn, stop := start(t, script.New())
	defer stop()
	stream, err := scriptv1.NewScriptServiceClient(conn).Chain(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []*scriptv1.ChainResponse
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
}

func TestChain(t *testing.T) {
	all := links(t, &scriptv1.ChainRequest{Stream: "s", Count: 5, Size: 20})
	var c script.Chain
	for _, l := range all {
		if err := c.Add(l); err != nil {
			t.Fatal(err)
		}
		if len(l.GetPayload()) != 20 {
			t.Errorf("link %d has %d bytes of payload, want 20", l.GetN(), len(l.GetPayload()))
		}
	}
	if c.Checked != 5 || all[0].GetPrev() != script.Genesis("s") {
		t.Errorf("%d links, the first after %q", c.Checked, all[0].GetPrev())
	}
	later := links(t, &scriptv1.ChainRequest{Stream: "s", Count: 2, From: 4, Size: 20})
	for i, l := range later {
		if !proto.Equal(l, all[3+i]) {
			t.Errorf("link %d differs when the call begins later: %v, %v", l.GetN(), l, all[3+i])
		}
	}
}

func TestChainNoticesFaults(t *testing.T) {
	all := links(t, &scriptv1.ChainRequest{Stream: "s", Count: 5})
	other := links(t, &scriptv1.ChainRequest{Stream: "other", Count: 5})
	changed := proto.CloneOf(all[1])
	changed.Payload = "x"
	forged := proto.CloneOf(all[1])
	forged.Prev = script.Genesis("forged")
	forged.Hash = script.Hash(forged.GetPrev(), "s", 2, "")
	for name, test := range map[string]struct {
		links []*scriptv1.ChainResponse
		want  string
	}{
		"twice":        {[]*scriptv1.ChainResponse{all[0], all[0]}, "link 1 of \"s\" came after link 1"},
		"out of order": {[]*scriptv1.ChainResponse{all[2], all[1]}, "came after link 3"},
		"missing":      {[]*scriptv1.ChainResponse{all[0], all[3]}, "links 2 to 3 of \"s\" are missing"},
		"changed":      {[]*scriptv1.ChainResponse{all[0], changed}, "was changed on the way"},
		"forged":       {[]*scriptv1.ChainResponse{all[0], forged}, "does not hold the hash"},
		"foreign":      {[]*scriptv1.ChainResponse{all[0], other[1]}, "is of \"other\""},
	} {
		t.Run(name, func(t *testing.T) {
			var c script.Chain
			var err error
			for _, l := range test.links {
				err = c.Add(l)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
