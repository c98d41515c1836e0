//go:build linux

// Package kernel is the limit: what delivering costs when a program does nothing but send(2), once for each reader and
// event. It parses no more of HTTP than it must to be asked like the others.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// MostJoined is how many events Serve can write at once.
const MostJoined = 16

const (
	head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
	// mostQueued is how many events a loop may be behind before the publisher waits.
	mostQueued = 1024
)

// Serve serves GET /sub/STREAM and POST /pub/STREAM on the listening socket until ctx ends. When readers are behind, up
// to joined events are written at once.
func Serve(ctx context.Context, socket *os.File, joined int) error {
	// One thread for each loop, and one for accepting and publishing beside them.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	loops := make([]*loop, runtime.NumCPU())
	var running sync.WaitGroup
	for i := range loops {
		loops[i] = newLoop(joined)
		running.Go(loops[i].run)
	}
	p := publisher{loops: loops, conns: make(map[*os.File]struct{})}
	a := acceptor{socket: int(socket.Fd()), loops: loops, publisher: &p}
	stop := context.AfterFunc(ctx, func() { _ = unix.Shutdown(a.socket, unix.SHUT_RD) }) // accept returns
	err := a.run(ctx)
	stop()
	for _, l := range loops {
		l.close()
	}
	p.close()
	running.Wait()
	return errors.Join(err, socket.Close())
}

// reader is a connection that reads.
type reader struct {
	fd     int
	stream string
}

// item is what a loop has to do: to write an event, or to take on a reader.
type item struct {
	stream string
	event  []byte
	reader *reader
}

// loop is one thread that writes to its readers.
type loop struct {
	joined  int
	streams map[string][]*reader // the loop's own

	mu     sync.Mutex
	queue  []item
	more   sync.Cond // queue has grown, or closed
	room   sync.Cond // queue was taken
	closed bool
}

func newLoop(joined int) *loop {
	l := &loop{joined: joined, streams: make(map[string][]*reader)}
	l.more.L, l.room.L = &l.mu, &l.mu
	return l
}

// add queues an item; it waits while too much is queued.
func (l *loop) add(i item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) >= mostQueued && !l.closed {
		l.room.Wait()
	}
	l.queue = append(l.queue, i)
	l.more.Signal()
}

func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.more.Signal()
	l.room.Broadcast()
}

// take returns what is queued, nil when the loop is closed.
func (l *loop) take(spare []item) []item {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.more.Wait()
	}
	if l.closed {
		return nil
	}
	items := l.queue
	l.queue = spare[:0]
	l.room.Broadcast()
	return items
}

func (l *loop) run() {
	runtime.LockOSThread()
	defer func() {
		for _, readers := range l.streams {
			for _, r := range readers {
				_ = unix.Close(r.fd)
			}
		}
	}()
	var spare, items []item
	for {
		if items = l.take(spare); items == nil {
			return
		}
		for next := items; len(next) > 0; {
			next = l.do(next)
		}
		clear(items)
		spare = items
	}
}

// do handles the first item, or as many events as may be joined, and returns the rest.
func (l *loop) do(items []item) (rest []item) {
	first := items[0]
	if first.reader != nil {
		if write(first.reader.fd, []byte(head)) {
			l.streams[first.stream] = append(l.streams[first.stream], first.reader)
		}
		return items[1:]
	}
	events, n := first.event, 1
	for n < min(l.joined, len(items)) && items[n].reader == nil && items[n].stream == first.stream {
		n++
	}
	if n > 1 {
		events = nil
		for _, i := range items[:n] {
			events = append(events, i.event...)
		}
	}
	readers := l.streams[first.stream]
	kept := readers[:0]
	for _, r := range readers {
		if write(r.fd, events) {
			kept = append(kept, r)
		}
	}
	l.streams[first.stream] = kept
	return items[n:]
}

// acceptor takes connections in and spreads them over loops.
type acceptor struct {
	socket    int
	loops     []*loop
	publisher *publisher
}

func (a *acceptor) run(ctx context.Context) error {
	if err := unix.SetNonblock(a.socket, false); err != nil {
		return err
	}
	for next := 0; ; next++ {
		fd, _, err := unix.Accept4(a.socket, unix.SOCK_CLOEXEC)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that it fails is how it is ended
		}
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		a.take(fd, a.loops[next%len(a.loops)])
	}
}

// take reads a connection's first bytes and gives it to who serves it. Whoever connects asks at once, in one packet.
func (a *acceptor) take(fd int, l *loop) {
	var buffer [4096]byte
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	n, err := unix.Read(fd, buffer[:])
	if err != nil || n == 0 {
		_ = unix.Close(fd)
		return
	}
	if stream, ok := streamOf(buffer[:n], "GET /sub/"); ok {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetNonblock(fd, true)
		l.add(item{stream: stream, reader: &reader{fd: fd, stream: stream}})
		return
	}
	a.publisher.start(fd, buffer[:n])
}
