package rivals_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/rivals"
	"github.com/grpc-sse/grpc-sse/bench/internal/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each rival does what it says it can: a figure of one that does less would say nothing.
func TestRivals(t *testing.T) {
	builder := &target.Builder{Dir: t.TempDir()}
	for _, maker := range rivals.Makers() {
		for _, withTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", maker.Name, withTLS), func(t *testing.T) {
				if maker.Missing != nil && maker.Missing() != "" {
					t.Skip(maker.Missing())
				}
				rival := maker.New(place(t, builder), target.Options{TLS: withTLS})
				if withTLS && !rival.Can(target.TLS) {
					t.Skip("cannot do TLS")
				}
				check(t, rival, maker.Name, withTLS)
			})
		}
	}
}

func place(t *testing.T, builder *target.Builder) target.Place {
	return target.Place{Repo: "../../..", Dir: t.TempDir(), Log: t.Output(), Build: builder}
}

func check(t *testing.T, rival target.Target, name string, withTLS bool) {
	if rival.Name() != name {
		t.Errorf("its name is %q, its maker's %q", rival.Name(), name)
	}
	defer func() {
		for range 2 {
			if err := rival.Stop(); err != nil {
				t.Error(err)
			}
		}
	}()
	if err := rival.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(rival.PIDs()) == 0 {
		t.Error("no process")
	}
	s := &subscribing{t, rival, withTLS}
	var next uint64
	publish := func(stream string) {
		next++
		if err := rival.Publish(t.Context(), stream, event.Payload(nil, next, event.Now())); err != nil {
			t.Fatal(err)
		}
	}
	readers := []*bufio.Reader{s.to("a", target.Live), s.to("a", target.Live), s.to("b", target.Live)}
	publish("a")
	publish("a")
	readers = append(readers, s.to("a", target.Live))
	publish("a")
	publish("b")
	want := [][]uint64{{1, 2, 3}, {1, 2, 3}, {4}, {3}}
	if rival.Can(target.CatchUp) {
		readers = append(readers, s.to("a", target.First))
		want = append(want, []uint64{1, 2, 3})
	}
	for i, reader := range readers {
		for _, seq := range want[i] {
			expect(t, fmt.Sprintf("reader %d", i), reader, seq)
		}
	}
}

// ahead is how many events TestAhead sends: more than may be unanswered.
const ahead = 500

// Events that are sent ahead keep their order, and what a server says against one is not lost.
func TestAhead(t *testing.T) {
	builder := &target.Builder{Dir: t.TempDir()}
	for _, maker := range rivals.Makers() {
		t.Run(maker.Name, func(t *testing.T) {
			if maker.Missing != nil && maker.Missing() != "" {
				t.Skip(maker.Missing())
			}
			rival := maker.New(place(t, builder), target.Options{})
			to, ok := rival.(target.Ahead)
			if !ok {
				t.Skip("is published to in another way")
			}
			if err := rival.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := rival.Stop(); err == nil {
					t.Error("an event was refused, and nobody says so")
				}
			}()
			reader := (&subscribing{t, rival, false}).to("a", target.Live)
			for seq := range uint64(ahead) {
				if err := to.PublishAhead(t.Context(), "a", event.Payload(nil, seq+1, event.Now())); err != nil {
					t.Fatal(err)
				}
			}
			for seq := range uint64(ahead) {
				expect(t, "reader", reader, seq+1)
			}
			var err error
			for err == nil { // until the answer is here
				err = to.PublishAhead(t.Context(), "no such path/a b", []byte("{}"))
			}
		})
	}
}

type subscribing struct {
	t     *testing.T
	rival target.Target
	tls   bool
}

// to subscribes and returns when the response's head is here.
func (s *subscribing) to(stream, from string) *bufio.Reader {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	var conn net.Conn
	var err error
	if s.tls {
		conn, err = (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", s.rival.Addr())
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.rival.Addr())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Write(s.rival.Request(stream, from)); err != nil {
		s.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("%s from %q: %v", stream, from, err)
	}
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/event-stream") {
		s.t.Fatalf("%s, %s", response.Status, got)
	}
	return bufio.NewReader(response.Body)
}

// expect reads up to the next event that has a number but 0, which only says that a stream is open.
func expect(t *testing.T, who string, reader *bufio.Reader, want uint64) {
	t.Helper()
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: event %d: %v", who, want, err)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		seq, sent, _, ok := event.Parse([]byte(data))
		if ok && seq == 0 {
			continue
		}
		if !ok || seq != want || time.Duration(event.Now()-sent) > time.Minute {
			t.Fatalf("%s: got %q, want event %d", who, data, want)
		}
		if line, err := reader.ReadString('\n'); line != "\n" || err != nil {
			t.Fatalf("%s: event %d: behind it stands %q, %v", who, want, line, err)
		}
		return
	}
}

// A program that ends by itself is an error of Stop's: what was measured meanwhile is worth nothing.
func TestEndsByItself(t *testing.T) {
	rival := kernelRival(t)
	if err := rival.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(rival.PIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := rival.Stop(); err == nil {
		t.Error("it was killed, and Stop says nothing")
	}
}

// It lives until Stop, not as long as the context that it was started with.
func TestOutlivesContext(t *testing.T) {
	rival := kernelRival(t)
	ctx, cancel := context.WithCancel(t.Context())
	if err := rival.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := rival.Publish(t.Context(), "a", []byte("{}")); err != nil {
		t.Error(err)
	}
	if err := rival.Stop(); err != nil {
		t.Error(err)
	}
}

// kernelRival ends at the first signal, whatever is open.
func kernelRival(t *testing.T) target.Target {
	for _, maker := range rivals.Makers() {
		if maker.Name == rivals.Kernel {
			return maker.New(place(t, &target.Builder{Dir: t.TempDir()}), target.Options{})
		}
	}
	t.Fatal("no such rival")
	return nil
}
