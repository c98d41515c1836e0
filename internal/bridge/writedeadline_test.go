package bridge_test

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
)

// accepted is both ends of a connection that the bridge has accepted.
func accepted(t *testing.T) (server net.Conn, client *net.TCPConn) {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := bridge.Bounded(inner, 1, slog.New(slog.DiscardHandler))
	defer ln.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	client = conn.(*net.TCPConn)
	t.Cleanup(func() {
		_ = server.Close()
		_ = client.Close()
	})
	return server, client
}

var much = make([]byte, 64<<20) // more than the kernel holds

// A write fails at the deadline that counts: the last one set, whether it is earlier than the one before, or later, or set
// while the write is under way.
func TestWriteDeadline(t *testing.T) {
	const soon = 50 * time.Millisecond
	in := func(conn net.Conn, d time.Duration) (due time.Time) {
		due = time.Now().Add(d)
		_ = conn.SetWriteDeadline(due)
		return due
	}
	for name, set := range map[string]func(net.Conn) (due time.Time){
		"first": func(c net.Conn) time.Time { return in(c, soon) },
		"for both": func(c net.Conn) time.Time {
			due := time.Now().Add(soon)
			_ = c.SetDeadline(due)
			return due
		},
		"earlier": func(c net.Conn) time.Time { in(c, time.Hour); return in(c, soon) },
		"later":   func(c net.Conn) time.Time { in(c, soon/2); return in(c, soon) },
		"after others": func(c net.Conn) time.Time {
			in(c, soon/2)
			time.Sleep(soon) // so that it has passed
			return in(c, soon)
		},
		"lifted": func(c net.Conn) time.Time {
			in(c, 0)
			_ = c.SetWriteDeadline(time.Time{})
			return in(c, soon)
		},
		"lifted in time": func(c net.Conn) time.Time {
			in(c, soon/2)
			_ = c.SetWriteDeadline(time.Time{})
			time.Sleep(soon) // so that it would have passed
			return in(c, soon)
		},
		"under way": func(c net.Conn) time.Time {
			due := time.Now().Add(soon)
			time.AfterFunc(soon, func() { in(c, 0) })
			return due
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := accepted(t)
			due := set(server)
			guard := time.AfterFunc(time.Minute, func() { _ = server.Close() }) // a deadline that is missed is no endless test
			defer guard.Stop()
			n, err := server.Write(much)
			if !errors.Is(err, os.ErrDeadlineExceeded) || n == len(much) {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if early := time.Until(due); early > 0 {
				t.Errorf("the write fails %v before its deadline", early)
			}
			_ = server.SetWriteDeadline(time.Time{})
			go func() { _, _ = io.Copy(io.Discard, client) }()
			if _, err := server.Write(much); err != nil {
				t.Errorf("after it was lifted: %v", err)
			}
		})
	}
}

// A deadline that was moved or lifted does not make a write fail any more, at whatever moment that was.
func TestWriteDeadlineMoved(t *testing.T) {
	t.Parallel()
	server, client := accepted(t)
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for range 3000 {
		_ = server.SetWriteDeadline(time.Now().Add(rand.N(100 * time.Microsecond)))
		for range rand.IntN(4) {
			_, _ = server.Write([]byte("in time or not"))
		}
		next := time.Time{}
		if rand.IntN(2) == 0 {
			next = time.Now().Add(time.Hour)
		}
		_ = server.SetWriteDeadline(next)
		if _, err := server.Write([]byte("in time")); err != nil {
			t.Fatal(err)
		}
	}
}

// Reads keep their own deadline.
func TestReadDeadline(t *testing.T) {
	t.Parallel()
	server, _ := accepted(t)
	for _, set := range []func(time.Time) error{server.SetDeadline, server.SetReadDeadline} {
		_ = set(time.Now().Add(20 * time.Millisecond))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = set(time.Time{})
		if _, err := server.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	}
}
