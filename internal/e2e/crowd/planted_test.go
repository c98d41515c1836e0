//go:build unix

package crowd_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

const (
	plantedHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	plantedMark = "AAAAAAAAAAAAAAAA"
	plantedDone = "HTTP/1.1 204 No Content\r\n\r\n"
)

// plantedChain makes the frames of a stream: its opening, its events, its end.
func plantedChain(stream string, count int) (frames []string) {
	frames = append(frames, ":\nretry: 3000\nid: 100."+plantedMark+"\nevent: stream.open\ndata: {\"resumed\":false}\n\n")
	prev := oracle.Link{Stream: stream}.Sum()
	for n := 1; n <= count; n++ {
		l := oracle.Link{Stream: stream, N: uint64(n), Prev: prev}
		prev = l.Sum()
		frames = append(frames, fmt.Sprintf("id: %d.%s\nevent: odd\ndata: {\"stream\":%q,\"n\":\"%d\",\"prev\":%q,\"hash\":%q}\n\n",
			100+n, plantedMark, stream, n, l.Prev, prev))
	}
	return append(frames, fmt.Sprintf("id: %d.AAAAA.end\nevent: stream.end\ndata: {\"code\":0,\"status\":\"OK\"}\n\n", 101+count))
}

// TestPlanted shows that a reader finds every kind of fault, whether the bridge makes it on one connection or where two
// meet.
func TestPlanted(t *testing.T) {
	f := plantedChain("s", 5)
	other := plantedChain("other", 5)
	resumed := ":\nretry: 3000\nid: 102." + plantedMark + "\nevent: stream.open\ndata: {\"resumed\":true}\n\n"
	lost := strings.Replace(resumed, "true", `false,"reason":"expired"`, 1)
	reset := "id: 104." + plantedMark + "\nevent: stream.reset\ndata: {\"reason\":\"expired\",\"missed\":2}\n\n"
	all := func(frames ...string) string { return plantedHead + strings.Join(frames, "") }
	half := f[3][:40]
	for _, test := range []struct {
		name, want string
		mayReset   bool
		responses  []string
	}{
		{"right", "", false, []string{all(f...), plantedDone}},
		{"right, cut in a frame", "", false, []string{"reset " + all(f[0], f[1], f[2], half), all(resumed, f[3], f[4], f[5], f[6]), plantedDone}},
		{"right, with a hole that is told", "", true, []string{all(f[0], f[1], f[2]), all(lost, reset, f[5], f[6]), plantedDone}},
		{"one lost", "lost", false, []string{all(f[0], f[1], f[3], f[4], f[5], f[6])}},
		{"the last one lost", "lost", false, []string{all(f[0], f[1], f[2], f[3], f[4], f[6])}},
		{"one lost where it was resumed", "lost", false, []string{all(f[0], f[1], f[2]), all(resumed, f[4], f[5], f[6])}},
		{"one twice", "twice", false, []string{all(f[0], f[1], f[1], f[2], f[3], f[4], f[5], f[6])}},
		{"one twice where it was resumed", "twice", false, []string{all(f[0], f[1], f[2]), all(resumed, f[2], f[3], f[4], f[5], f[6])}},
		{"two in another order", "lost", false, []string{all(f[0], f[2], f[1], f[3], f[4], f[5], f[6])}},
		{"of another stream", "foreign", false, []string{all(f[0], f[1], other[2], f[3], f[4], f[5], f[6])}},
		{"half a frame twice", "frame", false, []string{all(f[0], f[1], f[2], half, f[3], f[4], f[5], f[6])}},
		{"the rest of a frame twice", "frame", false, []string{all(f[0], f[1], f[2], f[2][40:], f[3], f[4], f[5], f[6])}},
		{"a frame without its middle", "frame", false, []string{all(f[0], f[1], f[2], half+f[3][80:], f[4], f[5], f[6])}},
		{"a changed hash", "changed", false, []string{all(f[0], f[1], strings.Replace(f[2], `"hash":"`, `"hash":"0`, 1), f[3])}},
		{"another id", "ids", false, []string{all(f[0], f[1], strings.Replace(f[2], "102.", "103.", 1), f[3])}},
		{"opened elsewhere", "ids", false, []string{all(f[0], f[1]), all(resumed, f[3])}},
		{"a hole that is not told", "lost", true, []string{all(f[0], f[1], f[2]), all(lost, f[5], f[6])}},
		{"a hole of another size", "ids", true, []string{all(f[0], f[1], f[2]), all(lost, strings.Replace(reset, "2}", "3}", 1), f[5], f[6])}},
		{"a hole where there may be none", "lost", false, []string{all(f[0], f[1], f[2]), all(lost, reset, f[5], f[6])}},
		{"a clean end in a frame", "frame", false, []string{all(f[0], f[1], half)}},
		{"more behind the end", "frame", false, []string{all(append(slices.Clip(f), f[1])...)}},
		{"no stream", "frame", false, []string{"HTTP/1.1 503 Service Unavailable\r\n\r\n"}},
		{"gone too early", "frame", false, []string{all(f[0], f[1]), plantedDone}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCrowd(t)
			r := c.add(newBook("s", 5, true), respond(t, test.responses), "earliest", rand.New(rand.NewPCG(1, 1)))
			r.next, r.mayReset = 1, test.mayReset
			err := r.run(guarded(t))
			w := &wrongError{}
			if found := errors.As(err, &w); w.kind != test.want || !found && err != nil {
				t.Errorf("%v: want %q", err, test.want)
			}
			if test.want == "" && !test.mayReset {
				if err := r.book.chained(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// respond gives the n-th connection the n-th response and closes it: with a reset where the response begins with "reset ".
func respond(t *testing.T, responses []string) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		for _, response := range responses {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				response, reset := strings.CutPrefix(response, "reset ")
				_, _ = io.WriteString(conn, response) // who has seen enough has gone
				if reset {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}
