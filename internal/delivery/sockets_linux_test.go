package delivery_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// sockets is a server on real TCP connections.
type sockets struct {
	t        *testing.T
	delivery *delivery.Server
	server   *http.Server
	ln       *pickyListener
	served   chan error
}

// newSockets serves each request with what serve makes of it.
func newSockets(t *testing.T, c delivery.Config, serve func(r *http.Request) (delivery.Source, delivery.Owner)) *sockets {
	t.Helper()
	s := &sockets{t: t, delivery: delivery.New(c), ln: &pickyListener{Listener: listen(t)}, served: make(chan error, 1)}
	s.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			src, owner := serve(r)
			s.delivery.Serve(w, r, src, delivery.Options{Owner: owner})
		}),
		ConnContext: s.ln.connContext,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	go func() { s.served <- s.server.Serve(s.ln) }()
	t.Cleanup(s.close)
	return s
}

func (s *sockets) close() {
	_ = s.server.Close()
	<-s.served
	s.served <- nil
	s.delivery.Shutdown(0)
	if n := s.delivery.Open(); n != 0 {
		s.t.Errorf("%d connections are still counted", n)
	}
}

// dial sends a request.
func (s *sockets) dial(path string) *net.TCPConn {
	conn, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		s.t.Error(err)
		return nil
	}
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		s.t.Error(err)
	}
	return conn.(*net.TCPConn)
}

// pickyListener has connections of all kinds, one after the other, and may give them small buffers. Of eight, four are
// net's, four wrapped as listeners do that count, and four must be hijacked.
type pickyListener struct {
	net.Listener
	buffer   atomic.Int64
	plain    atomic.Bool // all are net's
	accepted int
	counted  atomic.Int64 // wrapped connections that are open
}

func (l *pickyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if size := int(l.buffer.Load()); size != 0 {
		_ = delivery.Control(conn, func(fd int) error {
			return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, size)
		})
	}
	l.accepted++
	if l.accepted&1 == 0 || l.plain.Load() {
		if conn, err = delivery.Plain(conn); err != nil {
			return nil, err
		}
	}
	if l.accepted&2 == 0 {
		return conn, nil
	}
	l.counted.Add(1)
	return &countedConn{Conn: conn, from: l}, nil
}

// connContext is called for each connection that was accepted, before the next one is.
func (l *pickyListener) connContext(ctx context.Context, conn net.Conn) context.Context {
	if l.accepted&4 == 0 {
		return ctx
	}
	return delivery.ConnContext(ctx, conn)
}

type countedConn struct {
	net.Conn
	from   *pickyListener
	given  atomic.Bool
	closed atomic.Bool
}

func (c *countedConn) Counted() net.Conn { return c.Conn }

func (c *countedConn) Detach() func() {
	c.given.Store(true)
	return c.release
}

func (c *countedConn) release() {
	if !c.closed.Swap(true) {
		c.from.counted.Add(-1)
	}
}

func (c *countedConn) Close() error {
	if !c.given.Load() {
		c.release()
	}
	return c.Conn.Close()
}

// descriptors counts those of the process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func body(conn net.Conn) *bufio.Reader {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return r
		}
	}
}

// ends are the ways in which a response ends. play returns when the client is through with it; clean is what the owner must
// be told, unless anything is right.
var ends = map[string]struct {
	source func() delivery.Source
	kicked bool
	play   func(conn *net.TCPConn)
	clean  bool
}{
	"at the end": {clean: true, source: func() delivery.Source {
		src := newSource()
		src.add("one\n\n")
		src.end()
		return src
	}},
	"kicked": {clean: true, kicked: true, source: func() delivery.Source { return newSource() }},
	"client closes": {
		source: func() delivery.Source { return newSource() },
		play:   func(conn *net.TCPConn) { _, _ = body(conn).Peek(9); _ = conn.Close() },
	},
	"client half-closes": {
		source: func() delivery.Source { return newSource() },
		play: func(conn *net.TCPConn) {
			_, _ = body(conn).Peek(9)
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		},
	},
	"client resets": {
		source: func() delivery.Source { return newSource() },
		play:   func(conn *net.TCPConn) { _, _ = body(conn).Peek(9); _ = conn.SetLinger(0); _ = conn.Close() },
	},
	"client has left already": {
		source: func() delivery.Source { return newSource() },
		play:   func(conn *net.TCPConn) { _ = conn.SetLinger(0); _ = conn.Close() },
	},
	"error": {source: func() delivery.Source {
		src := newSource()
		src.nextErr = errors.New("planted")
		return src
	}},
	"panic at once": {source: func() delivery.Source { return &panicking{source: newSource(), method: "Opening"} }},
	"panic later":   {source: func() delivery.Source { return &panicking{source: newSource(), method: "Topic"} }},
	"stuck": {
		source: func() delivery.Source {
			src := newSource()
			src.frames = [][]byte{huge}
			return src
		},
		play: func(*net.TCPConn) {},
	},
}

// huge is more than the kernel takes for a client that reads nothing.
var huge = bytes.Repeat([]byte("x"), 4<<20)

// TestDescriptors: whichever way a response ends, its descriptor is closed, and only once.
func TestDescriptors(t *testing.T) {
	before := descriptors(t)
	var owners sync.Map // path → *owner
	kicked := make(chan struct{})
	close(kicked)
	config := options.Config
	config.WriteTimeout = 20 * time.Millisecond
	s := newSockets(t, config, func(r *http.Request) (delivery.Source, delivery.Owner) {
		o, _ := owners.Load(r.URL.Path)
		name := strings.Split(r.URL.Path, "/")[1]
		return ends[strings.ReplaceAll(name, "_", " ")].source(), o.(*owner)
	})
	stop := canaries(t)
	for round := range 2000 / len(ends) / 5 {
		var all sync.WaitGroup
		for name, end := range ends {
			for i := range 5 {
				path := fmt.Sprintf("/%s/%d/%d", strings.ReplaceAll(name, " ", "_"), round, i)
				o := &owner{ended: make(chan error, 1)}
				if end.kicked {
					o.Kicked = kicked
				}
				owners.Store(path, o)
				all.Go(func() {
					conn := s.dial(path)
					if conn == nil {
						return
					}
					defer conn.Close()
					if end.play != nil {
						end.play(conn)
					} else {
						_, _ = io.Copy(io.Discard, conn)
					}
					if name == "client has left already" {
						return // before its request was read, perhaps
					}
					if err := <-o.ended; (err == nil) != end.clean {
						t.Errorf("%s: the owner was told %v", name, err)
					}
				})
			}
		}
		all.Wait()
	}
	stop()
	s.close()
	if n := s.ln.counted.Load(); n != 0 {
		t.Errorf("%d connections are counted by the listener", n)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// canaries opens and closes files all the time: it notices when somebody else closes one of them.
func canaries(t *testing.T) (stop func()) {
	var work sync.WaitGroup
	var stopped atomic.Bool
	for range 2 {
		work.Go(func() {
			for !stopped.Load() {
				fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
				if err != nil {
					t.Error(err)
					return
				}
				<-time.After(time.Millisecond)
				if err := syscall.Close(fd); err != nil {
					t.Error("somebody closed a descriptor that is not theirs")
				}
			}
		})
	}
	return func() { stopped.Store(true); work.Wait() }
}

// TestIdleClientsThatLeave are noticed although nothing is written to them.
func TestIdleClientsThatLeave(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn){
		"closes":      func(c *net.TCPConn) { _ = c.Close() },
		"half-closes": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"resets":      func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		o := &owner{ended: make(chan error, 1)}
		config := options.Config
		config.Heartbeat = time.Hour
		s := newSockets(t, config, func(*http.Request) (delivery.Source, delivery.Owner) { return newSource(), o })
		conn := s.dial("/")
		if opened, err := body(conn).Peek(9); err != nil {
			t.Fatalf("%s: %q, %v", name, opened, err)
		}
		leave(conn)
		if err := <-o.ended; err == nil {
			t.Errorf("%s: nobody says that the client has gone", name)
		}
		_ = conn.Close()
		s.close()
	}
}

// TestUnreadRequestsAreNoReset: what a client sent after its request is not read, and does not make it lose the end.
func TestUnreadRequestsAreNoReset(t *testing.T) {
	for range 20 {
		src := newSource()
		o := &owner{ended: make(chan error, 1)}
		s := newSockets(t, options.Config, func(*http.Request) (delivery.Source, delivery.Owner) { return src, o })
		conn := s.dial("/")
		r := body(conn)
		_, _ = r.Discard(len("opening\n\n"))
		_, _ = io.WriteString(conn, strings.Repeat(get, 500))
		want := strings.Repeat("x", 64<<10)
		src.add(want)
		src.end()
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%d bytes, %v, want %d and a clean end", len(got), err, len(want))
		}
		_ = conn.Close()
		s.close()
	}
}

// TestTinyBuffers: the kernel cuts writes where it likes.
func TestTinyBuffers(t *testing.T) {
	const n = 100
	stream := newCalls(t, plenty).call(1)
	subscribed := make(chan struct{}, 100)
	owners := make(chan *client, 100)
	s := newSockets(t, options.Config, func(*http.Request) (delivery.Source, delivery.Owner) {
		c := &client{owner: &owner{ended: make(chan error, 1)}, src: direct(stream.subscribe())}
		subscribed <- struct{}{}
		owners <- c
		return c.src, c
	})
	s.ln.buffer.Store(1) // as small as there is
	var readers sync.WaitGroup
	for i := range 20 {
		conn := s.dial("/")
		_ = conn.SetReadBuffer(16<<10 + 1000*i)
		<-subscribed
		c := <-owners
		c.result, c.reader = c.ended, bufio.NewReaderSize(conn, 1+500*i)
		readers.Go(func() {
			c.skipHead()
			if resets := c.follow(t, n); resets != 0 {
				t.Errorf("%d resets", resets)
			}
			_ = conn.Close()
		})
	}
	for i := range n {
		stream.messages <- message(i, (i*i*37)%(4<<10))
	}
	close(stream.messages)
	readers.Wait()
}

// TestThousandSockets: all get everything.
func TestThousandSockets(t *testing.T) {
	const clients, n = 1000, 200
	stream := newCalls(t, plenty).call(1)
	owners := make(chan *client, clients)
	s := newSockets(t, options.Config, func(*http.Request) (delivery.Source, delivery.Owner) {
		c := &client{owner: &owner{ended: make(chan error, 1)}, src: direct(stream.subscribe())}
		owners <- c
		return c.src, c
	})
	var readers sync.WaitGroup
	for range clients {
		conn := s.dial("/")
		c := <-owners
		c.result, c.reader = c.ended, body(conn)
		readers.Go(func() {
			c.follow(t, n)
			_ = conn.Close()
		})
	}
	if open := s.delivery.Open(); open != clients {
		t.Errorf("shards hold %d connections, want %d", open, clients)
	}
	for i := range n {
		stream.messages <- message(i, 200)
	}
	close(stream.messages)
	readers.Wait()
}

// skipHead reads the head.
func (c *client) skipHead() {
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil || line == "\r\n" {
			return
		}
	}
}
