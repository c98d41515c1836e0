package load_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
	"github.com/grpc-sse/grpc-sse/bench/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub sends what is published to everybody.
type hub struct {
	mu      sync.Mutex
	readers map[chan []byte]bool
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, 100)
	h.mu.Lock()
	h.readers[events] = true
	h.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case text, ok := <-events:
			if !ok {
				return
			}
			_, _ = w.Write(text)
			w.(http.Flusher).Flush()
		}
	}
}

func (h *hub) publish(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for events := range h.readers {
		events <- fmt.Appendf(nil, "data: %s\n\n", event.Payload(nil, n, event.Now()))
	}
}

// end closes the response of one reader.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for events := range h.readers {
		close(events)
		delete(h.readers, events)
		return
	}
}

func serve(t *testing.T) (*hub, load.Config) {
	t.Helper()
	h := &hub{readers: make(map[chan []byte]bool)}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return h, load.Config{
		Addr: strings.TrimPrefix(s.URL, "http://"), Conns: 20, Latency: true,
		Request: func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n") },
	}
}

type opener func(context.Context, load.Config) (*load.Readers, error)

var openers = map[string]opener{
	"sockets": load.Open,
	"two loops": func(ctx context.Context, c load.Config) (*load.Readers, error) {
		c.Loops = 2
		return load.Open(ctx, c)
	},
	"clients": func(ctx context.Context, c load.Config) (*load.Readers, error) {
		return load.OpenClients(ctx, c, load.Form{})
	},
}

func TestAllReadersGetAllEvents(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			h, c := serve(t)
			readers, err := open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer readers.Close()
			const events = 10
			for n := range uint64(events) {
				h.publish(n + 1)
			}
			if err := readers.Wait(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			s := readers.Stats()
			if want := uint64(c.Conns * events); s.Events != want || s.Latency.Count() != want || s.Bytes < want*event.Size {
				t.Errorf("%d events, %d latencies, %d bytes; want %d events", s.Events, s.Latency.Count(), s.Bytes, want)
			}
			if slowest := s.Latency.Max(); slowest <= 0 || slowest > time.Minute {
				t.Errorf("the slowest took %s", slowest)
			}
			readers.Reset()
			if s := readers.Stats(); s.Events != 0 || s.Bytes != 0 || s.Latency.Count() != 0 {
				t.Errorf("after a reset: %d events, %d bytes", s.Events, s.Bytes)
			}
		})
	}
}

func TestAReaderThatMissesSomethingFails(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			for what, harm := range map[string]func(*hub){
				"a gap":    func(h *hub) { h.publish(3) },
				"a double": func(h *hub) { h.publish(1) },
				"an end":   func(h *hub) { h.end() },
			} {
				h, c := serve(t)
				readers, err := open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				h.publish(1)
				if err := readers.Wait(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				harm(h)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if err := readers.Wait(ctx, 2); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s was not noticed: %v", what, err)
				}
				cancel()
				readers.Close()
			}
		})
	}
}

func TestWaitingEndsWhenNothingArrives(t *testing.T) {
	_, c := serve(t)
	c.Patience = 50 * time.Millisecond
	readers, err := load.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer readers.Close()
	if err := readers.Wait(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "nothing arrived") {
		t.Errorf("the error is %v", err)
	}
}

func TestOpenFailsWhereNobodyListens(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			_, c := serve(t)
			c.Addr = "127.0.0.1:1"
			if readers, err := open(t.Context(), c); err == nil {
				readers.Close()
				t.Error("it was opened")
			}
		})
	}
}

func TestDeafReadersHoldNobodyUp(t *testing.T) {
	h, c := serve(t)
	c.Deaf = 5
	readers, err := load.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer readers.Close()
	h.publish(1)
	if err := readers.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if s := readers.Stats(); readers.Counted() != 15 || s.Events != 15 {
		t.Errorf("%d readers got %d events, want 15", readers.Counted(), s.Events)
	}
}

func TestPaceCallsAsOftenAsItShould(t *testing.T) {
	begin, calls := time.Now(), 0
	err := load.Pace(t.Context(), 200, 50*time.Millisecond, func(due time.Time) error {
		if late := time.Since(due); late < 0 {
			t.Errorf("call %d came %s early", calls, -late)
		}
		if want := begin.Add(time.Duration(calls) * 5 * time.Millisecond); due.Sub(want) > 5*time.Millisecond {
			t.Errorf("call %d was due %s late", calls, due.Sub(want))
		}
		calls++
		return nil
	})
	if err != nil || calls != 10 {
		t.Errorf("%d calls, %v", calls, err)
	}
	stop := errors.New("stop")
	if err := load.Pace(t.Context(), 1e6, time.Hour, func(time.Time) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
}
