package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// accept returns both ends of a connection.
func accept(t *testing.T) (server net.Conn, client *net.TCPConn) {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	dialled, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close() })
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, dialled.(*net.TCPConn)
}

// TestConn: an accepted connection does what net's does.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (server, client net.Conn, stop func(), err error) {
		server, client = accept(t)
		return server, client, func() { _, _ = server.Close(), client.Close() }, nil
	})
}

// beginnings are how a connection may have been used until it is looked at.
var beginnings = map[string]func(t *testing.T, server, client net.Conn){
	"not waited for": func(*testing.T, net.Conn, net.Conn) {},
	"waited for": func(t *testing.T, server, _ net.Conn) {
		t.Helper()
		_ = server.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a read that is too late: %v", err)
		}
		_ = server.SetReadDeadline(time.Time{})
	},
}

func onBothBeginnings(t *testing.T, test func(t *testing.T, server net.Conn, client *net.TCPConn)) {
	for name, begin := range beginnings {
		t.Run(name, func(t *testing.T) {
			server, client := accept(t)
			begin(t, server, client)
			test(t, server, client)
		})
	}
}

// TestBothDirections: what is written arrives, more than the kernel holds too, and the end is one.
func TestBothDirections(t *testing.T) {
	onBothBeginnings(t, func(t *testing.T, server net.Conn, client *net.TCPConn) {
		want := bytes.Repeat([]byte("0123456789"), 1<<20)
		done := make(chan []byte)
		go func() {
			got, err := io.ReadAll(client)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
		if n, err := server.Write(want); n != len(want) || err != nil {
			t.Fatal(n, err)
		}
		if err := server.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if got := <-done; !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived, want %d", len(got), len(want))
		}
		_, _ = io.WriteString(client, "back")
		_ = client.CloseWrite()
		if got, err := io.ReadAll(server); string(got) != "back" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestErrorsAreThoseOfNet: net/http looks at them.
func TestErrorsAreThoseOfNet(t *testing.T) {
	onBothBeginnings(t, func(t *testing.T, server net.Conn, client *net.TCPConn) {
		_ = server.SetDeadline(time.Now().Add(-time.Second))
		for name, use := range map[string]func([]byte) (int, error){"read": server.Read, "write": server.Write} {
			_, err := use([]byte("x"))
			timeout, ok := errors.AsType[net.Error](err)
			if !ok || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s when it is too late: %v", name, err)
			}
		}
		_ = server.SetDeadline(time.Time{})
		_ = client.SetLinger(0)
		_ = client.Close()
		_, err := server.Read(make([]byte, 1))
		operation, ok := errors.AsType[*net.OpError](err)
		if !ok || !errors.Is(err, syscall.ECONNRESET) || operation.Op != "read" || !strings.Contains(err.Error(), client.LocalAddr().String()) {
			t.Errorf("after a reset: %v", err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		control := server.(interface {
			SetLinger(seconds int) error
			CloseWrite() error
		})
		_, read := server.Read(make([]byte, 1))
		_, written := server.Write(make([]byte, 1))
		for name, err := range map[string]error{
			"Read": read, "Write": written, "Close": server.Close(), "SetLinger": control.SetLinger(0), "CloseWrite": control.CloseWrite(),
			"SetDeadline": server.SetDeadline(time.Time{}),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of what is closed: %v", name, err)
			}
		}
	})
}

// TestSetLinger: a close can be a reset.
func TestSetLinger(t *testing.T) {
	onBothBeginnings(t, func(t *testing.T, server net.Conn, client *net.TCPConn) {
		if err := server.(interface{ SetLinger(seconds int) error }).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = server.Close()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
	})
}

// TestAddresses: IPv4 reads the same whatever the listener is.
func TestAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		ln, err := delivery.Listen(t.Context(), address, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := server.RemoteAddr().String(), client.LocalAddr().String(); got != want {
			t.Errorf("%s: the client is %s, want %s", address, got, want)
		}
		if got := server.RemoteAddr().Network(); got != "tcp" {
			t.Errorf("the network is %s", got)
		}
		_, _, _ = server.Close(), client.Close(), ln.Close()
	}
}

// TestListenerClosed: who accepts is told, as net tells it.
func TestListenerClosed(t *testing.T) {
	ln := listen(t)
	accepted := make(chan error)
	go func() {
		_, err := ln.Accept()
		accepted <- err
	}()
	_ = ln.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", ln.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}
