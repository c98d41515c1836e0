//go:build linux

package kernel_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/kernel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each reader gets each event of its stream once and in order, joined or not, however slow it reads.
func TestDelivery(t *testing.T) {
	for _, joined := range []int{1, kernel.MostJoined} {
		t.Run(fmt.Sprint(joined), func(t *testing.T) {
			address := serve(t, joined)
			var readers []*bufio.Reader
			for range 5 {
				readers = append(readers, subscribe(t, address, "a"))
			}
			other := subscribe(t, address, "b")
			publishing := make(chan error)
			const events = 2000
			pad := bytes.Repeat([]byte("x"), 4000) // 8 MB a reader: more than sockets hold
			go func() {
				defer close(publishing)
				for i := range events {
					if err := publish(address, "a", fmt.Sprintf("%d %s", i, pad)); err != nil {
						publishing <- err
						return
					}
				}
			}()
			var reading sync.WaitGroup
			for _, reader := range readers { // together: a loop waits for whom it writes to
				reading.Go(func() {
					for i := range events {
						if err := next(reader, fmt.Sprintf("%d %s", i, pad)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			reading.Wait()
			if err := <-publishing; err != nil {
				t.Fatal(err)
			}
			if err := publish(address, "b", "to b"); err != nil {
				t.Fatal(err)
			}
			expect(t, other, "to b")
		})
	}
}

// Readers that leave are forgotten; others go on.
func TestGone(t *testing.T) {
	address := serve(t, 1)
	leaving, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(leaving, "GET /sub/a HTTP/1.1\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(leaving), nil); err != nil {
		t.Fatal(err)
	}
	staying := subscribe(t, address, "a")
	leaving.Close()
	for i := range 100 {
		if err := publish(address, "a", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		expect(t, staying, fmt.Sprint(i))
	}
}

func serve(t *testing.T, joined int) string {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- kernel.Serve(ctx, socket, joined) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func subscribe(t *testing.T, address, stream string) *bufio.Reader {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /sub/%s HTTP/1.1\r\nHost: x\r\n\r\n", stream)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(response.Body)
}

func publish(address, stream, event string) error {
	response, err := http.Post("http://"+address+"/pub/"+stream, "application/json", strings.NewReader(event))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s, %w", response.Status, err)
	}
	return nil
}

func expect(t *testing.T, reader *bufio.Reader, event string) {
	t.Helper()
	if err := next(reader, event); err != nil {
		t.Fatal(err)
	}
}

func next(reader *bufio.Reader, event string) error {
	for _, want := range []string{"data: " + event + "\n", "\n"} {
		if got, err := reader.ReadString('\n'); got != want || err != nil {
			return fmt.Errorf("got %.40q, %w, want %.40q", got, err, want)
		}
	}
	return nil
}
