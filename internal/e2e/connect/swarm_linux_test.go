package connect_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// pending is how many connects are under way at a time: fewer than a listening socket queues.
const pending = 500

// swarm is clients that ask and wait for what ends with a blank line behind the head. It is for one thread.
type swarm struct {
	tb      testing.TB
	to      unix.SockaddrInet4
	request []byte
	epoll   int
	clients []client
	answer  [16 << 10]byte
}

type client struct {
	fd       int
	asked    bool
	answered bool
}

func newSwarm(tb testing.TB, addr string, request string) *swarm {
	tb.Helper()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(epoll) })
	return &swarm{
		tb: tb, to: unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, request: []byte(request), epoll: epoll,
	}
}

// connect opens n more connections and waits until each has an event.
func (s *swarm) connect(n int) {
	s.tb.Helper()
	events := make([]unix.EpollEvent, pending)
	begun, done := len(s.clients), len(s.clients)
	for n += begun; done < n; {
		for ; begun < n && begun-done < pending; begun++ {
			s.dial()
		}
		ready, err := unix.EpollWait(s.epoll, events, 20_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || ready == 0 {
			s.tb.Fatalf("%d of %d connections have an event: %v", done, n, err)
		}
		for _, e := range events[:ready] {
			done += s.ready(&s.clients[e.Fd], e.Events)
		}
	}
}

func (s *swarm) dial() {
	s.tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.clients = append(s.clients, client{fd: fd})
	if err := unix.Connect(fd, &s.to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		s.tb.Fatal(err)
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET, Fd: int32(len(s.clients) - 1)}
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		s.tb.Fatal(err)
	}
}

// ready takes what a connection has. It returns 1 for the first event.
func (s *swarm) ready(c *client, events uint32) int {
	s.tb.Helper()
	if events&unix.EPOLLOUT != 0 && !c.asked {
		c.asked = true
		if n, err := unix.Write(c.fd, s.request); n != len(s.request) {
			s.tb.Fatal("the request:", n, err)
		}
	}
	if events&unix.EPOLLIN == 0 || c.answered {
		return 0
	}
	n, err := unix.Read(c.fd, s.answer[:])
	if err != nil {
		s.tb.Fatal(err)
	}
	head, body, ok := bytes.Cut(s.answer[:n], []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(body, []byte("\n\n")) {
		s.tb.Fatalf("the answer is %q", s.answer[:n])
	}
	c.answered = true
	return 1
}

// reset ends all connections. With a reset they leave nothing in the kernel.
func (s *swarm) reset() {
	for _, c := range s.clients {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(c.fd)
	}
	s.clients = s.clients[:0]
}
