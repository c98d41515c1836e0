package bridge_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
)

// Connections beyond the limit are reset at once, and there is room again as soon as one is closed.
func TestSocketsAreBounded(t *testing.T) {
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ln := bridge.Bounded(inner, 2, slog.New(slog.NewTextHandler(&log, nil)))
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	refused := func() {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err == nil {
			_, err = io.ReadAll(conn)
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection too many: %v, want a reset", err)
		}
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	for range 3 {
		refused()
	}
	for range 2 { // closing twice gives one place back
		_ = first.Close()
	}
	dial()
	third := <-accepted
	refused()
	_ = ln.Close()
	if conn, open := <-accepted; open {
		t.Errorf("%v was accepted", conn)
	}
	for _, conn := range []net.Conn{second, third} {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "connections are refused"); n != 1 {
		t.Errorf("the log says %d times that connections are refused, want once:\n%s", n, &log)
	}
}

// listenForOne is a listener that takes one connection, and what connects to it.
func listenForOne(t *testing.T) (ln net.Listener, dial func() net.Conn) {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = bridge.Bounded(inner, 1, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = ln.Close() })
	return ln, func() net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

// A connection that was given up counts until its new owner has closed it.
func TestGivenUpSocketsCount(t *testing.T) {
	ln, dial := listenForOne(t)
	defer dial().Close()
	first, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	given := first.(interface {
		Counted() net.Conn
		Detach() func()
	})
	release := given.Detach()
	_ = given.Counted().Close()
	_ = first.Close() // it is not his any more
	refused := dial()
	defer refused.Close()
	accepted := make(chan net.Conn)
	go func() {
		conn, _ := ln.Accept()
		accepted <- conn
	}()
	if _, err := refused.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection too many: %v, want a reset", err)
	}
	release()
	defer dial().Close()
	if conn := <-accepted; conn == nil {
		t.Error("there is no room, though the first connection is released")
	} else {
		_ = conn.Close()
	}
}

// What was closed just before it is given up has been counted out: there is nothing to release.
func TestClosedSocketsAreNotReleased(t *testing.T) {
	ln, dial := listenForOne(t)
	defer dial().Close()
	first, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	first.(interface{ Detach() func() }).Detach()()
	defer dial().Close()
	second, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	refused := dial()
	defer refused.Close()
	_ = refused.SetReadDeadline(time.Now().Add(10 * time.Second)) // or a failure takes for ever
	accepted := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		accepted <- err
	}()
	if _, err := refused.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection too many: %v, want a reset", err)
	}
	_ = ln.Close()
	if err := <-accepted; err == nil {
		t.Error("a connection too many was accepted")
	}
}
