package delivery_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is fed by a test.
type source struct {
	mu      sync.Mutex
	frames  [][]byte
	ended   bool
	waiting []byte
	outage  int
	written int
	ageless bool
	beat    string
	silent  bool // no opening
	retry   time.Duration
	mute    bool // nothing to say when leaving
	// leaveErr and nextErr are what Leave and Next fail with.
	leaveErr, nextErr error
	// opened, if set, is what Opening waits for.
	opened chan struct{}
	place
}

func newSource() *source { return &source{beat: ":\n\n"} }

func (s *source) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.tell()
}

func (s *source) add(frame string) { s.change(func() { s.frames = append(s.frames, []byte(frame)) }) }
func (s *source) end()             { s.change(func() { s.ended = true }) }

func (s *source) Opening(dst []byte, retry time.Duration) []byte {
	s.retry = retry
	if s.opened != nil {
		<-s.opened
	}
	if s.silent {
		return dst
	}
	return append(dst, "opening\n\n"...)
}

func (s *source) Next(int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.nextErr != nil:
		return nil, s.nextErr
	case s.written < len(s.frames):
		return s.frames[s.written], nil
	case s.ended:
		return nil, io.EOF
	default:
		return nil, nil
	}
}

func (s *source) Written() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = min(s.written+1, len(s.frames))
}

func (s *source) Short(frames []byte, n int) []byte { return frames[n:] }

func (s *source) Topic() delivery.Topic { return &s.place }

func (s *source) Waiting() ([]byte, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting, s.outage
}

func (s *source) Beat(dst []byte) []byte {
	if waiting, outage := s.Waiting(); outage != 0 {
		return append(dst, waiting...)
	}
	return append(dst, s.beat...)
}

func (s *source) Leave(dst []byte, reason string) ([]byte, error) {
	if s.mute {
		return dst, s.leaveErr
	}
	return append(dst, "leave("+reason+")\n\n"...), s.leaveErr
}

func (s *source) Ageless() bool { return s.ageless }

var options = settings{
	Config: delivery.Config{Heartbeat: 8 * time.Second, WriteTimeout: 20 * time.Second, MaxAge: time.Hour},
}

func TestHeadFramesAndCleanEnd(t *testing.T) {
	for _, tc := range []struct{ request, status string }{
		{get, "HTTP/1.1 200 OK"},
		{"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK"},
	} {
		onBothPaths(t, func(t *testing.T, o settings) {
			src := newSource()
			src.add("one\n\n")
			c := serve(t, src, o, tc.request)
			head := c.head()
			if head[0] != tc.status {
				t.Errorf("status line %q", head[0])
			}
			for _, line := range []string{
				"Content-Type: text/event-stream; charset=utf-8", "Cache-Control: no-store, no-transform",
				"X-Accel-Buffering: no", "Connection: close", "Vary: Origin",
			} {
				if !strings.Contains(strings.Join(head, "\n"), line) {
					t.Errorf("no %q in the head:\n%s", line, strings.Join(head, "\n"))
				}
			}
			c.expect("opening\n\none\n\n")
			src.add("two\n\n")
			c.expect("two\n\n")
			src.end()
			c.expectEnd("", true)
		})
	}
}

func TestHeartbeatsOnlyWhileQuiet(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		for range 5 {
			time.Sleep(6 * time.Second)
			src.add("busy\n\n")
		}
		c.expect(strings.Repeat("busy\n\n", 5))
		began := time.Now()
		c.expect(":\n\n:\n\n")
		if quiet := time.Since(began); quiet < 2*6400*time.Millisecond || quiet > 2*9600*time.Millisecond {
			t.Errorf("two heartbeats took %v, want 8 s ± 20 %% each", quiet)
		}
		src.end()
		<-c.result
	})
}

func TestWaitingIsSaidOnceAndWithEachHeartbeat(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		src.change(func() { src.waiting, src.outage = []byte("waiting\n\n"), 1 })
		c.expect("waiting\n\n")
		src.change(func() {}) // another attempt of the same outage
		began := time.Now()
		c.expect("waiting\n\n")
		if time.Since(began) < 6*time.Second {
			t.Error("said again before the heartbeat")
		}
		src.change(func() { src.waiting, src.outage = nil, 0 })
		src.add("back\n\n")
		c.expect("back\n\n:\n\n")
		src.end()
		<-c.result
	})
}

func TestMaximumAge(t *testing.T) {
	for _, ageless := range []bool{false, true} {
		onBothPaths(t, func(t *testing.T, o settings) {
			src := newSource()
			src.ageless = ageless
			o.Heartbeat = 24 * time.Hour
			c := serve(t, src, o, get)
			c.head()
			c.expect("opening\n\n")
			began := time.Now()
			if ageless {
				time.Sleep(2 * time.Hour)
				src.end()
			}
			want := "leave()\n\n"
			if ageless {
				want = ""
			}
			c.expectEnd(want, true)
			if age := time.Since(began); !ageless && (age < 48*time.Minute || age > 72*time.Minute) {
				t.Errorf("ended after %v, want 1 h ± 20 %%", age)
			}
		})
	}
}

func TestClientThatLeaves(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		_ = c.Close()
		if err := <-c.result; err == nil {
			t.Error("Serve did not say that the client has gone")
		}
	})
}

func TestClientThatDoesNotRead(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		src.add(strings.Repeat("x", 64<<10))
		c := serve(t, src, o, get)
		began := time.Now()
		if err := <-c.result; err == nil {
			t.Error("Serve did not fail")
		}
		if took := time.Since(began); took != options.WriteTimeout {
			t.Errorf("given up after %v, want %v", took, options.WriteTimeout)
		}
		if src.written != 0 {
			t.Error("what was not written counts as written")
		}
	})
}

// TestLargeFrameOverASlowLink: a client that takes bytes all the time is not given up because a frame is large. It would
// come back for the same frame, and never get it.
func TestLargeFrameOverASlowLink(t *testing.T) {
	test := func(t *testing.T, o settings) {
		const size, rate = 4 << 20, 40 << 10 // bytes, bytes a second
		src := newSource()
		src.add(strings.Repeat("x", size))
		src.end()
		c := serve(t, src, o, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
		for got := 0; got < size; {
			time.Sleep(time.Second)
			n, err := io.CopyN(io.Discard, c.reader, rate)
			got += int(n)
			if err != nil && got < size {
				t.Fatalf("cut after %v and %d of %d bytes: %v", time.Duration(got/rate)*time.Second, got, size, err)
			}
		}
		_, _ = io.Copy(io.Discard, c.reader)
		if err := <-c.result; err != nil {
			t.Error(err)
		}
	}
	onBothPaths(t, test)
	t.Run("chunked", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, chunked()) }) })
}

// TestCutFrameIsAReset: the client must not take a cut frame for the end, so the connection is reset, not closed.
func TestCutFrameIsAReset(t *testing.T) {
	src := newSource()
	src.add(strings.Repeat("x", 32<<20)) // more than the sockets hold
	o := options
	o.WriteTimeout = 50 * time.Millisecond
	result := make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result <- o.serve(w, r, src)
	}))
	listenAs(t, server)
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, get); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil {
		t.Fatal("Serve did not fail")
	}
	if _, err := io.Copy(io.Discard, conn); err == nil {
		t.Error("the connection was closed cleanly in the middle of a frame")
	}
}

// plainWriter hides everything but http.ResponseWriter and Flush.
type plainWriter struct {
	http.ResponseWriter
	http.Flusher
}

func TestOrdinaryPath(t *testing.T) {
	src := newSource()
	src.add("one\n\n")
	src.add("two\n\n")
	src.end()
	recorder := httptest.NewRecorder()
	if err := options.serve(plainWriter{recorder, recorder}, httptest.NewRequest(http.MethodGet, "/", nil), src); err != nil {
		t.Fatal(err)
	}
	if got := recorder.Body.String(); got != "opening\n\none\n\ntwo\n\n" || !recorder.Flushed {
		t.Errorf("body %q, flushed %v", got, recorder.Flushed)
	}
	if got := recorder.Header().Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
}

func TestOrdinaryPathClientThatLeaves(t *testing.T) {
	src := newSource()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	if err := options.serve(plainWriter{recorder, recorder}, r, src); err == nil {
		t.Error("Serve did not say that the client has gone")
	}
}

// failingWriter fails in the middle of the body.
type failingWriter struct{ *httptest.ResponseRecorder }

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestOrdinaryPathAbortsWhatIsCut(t *testing.T) {
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("recovered %v", err)
		}
	}()
	_ = options.serve(failingWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil), newSource())
}

func TestHead(t *testing.T) {
	recorder := httptest.NewRecorder()
	delivery.Head(recorder, options.Options)
	if recorder.Code != http.StatusOK || recorder.Body.Len() != 0 || recorder.Header().Get("X-Accel-Buffering") != "no" {
		t.Errorf("%d %v %q", recorder.Code, recorder.Header(), recorder.Body)
	}
}
