//go:build linux

package kernel

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// publisher serves the connections on which events come. There are few: each has a goroutine.
type publisher struct {
	loops   []*loop
	serving sync.WaitGroup

	mu    sync.Mutex // held while an event is given to all loops, so that they have one order
	conns map[*os.File]struct{}
}

// start serves a connection of which begin was read.
func (p *publisher) start(fd int, begin []byte) {
	if err := unix.SetNonblock(fd, true); err != nil { // so that Go polls it, and Close ends a read
		_ = unix.Close(fd)
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	conn := os.NewFile(uintptr(fd), "publisher")
	p.mu.Lock()
	p.conns[conn] = struct{}{}
	p.mu.Unlock()
	input := bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(begin)), conn))
	p.serving.Go(func() {
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, conn)
			_ = conn.Close() // whether its last answer arrived does not matter
		}()
		for p.one(conn, input) {
		}
	})
}

// one serves a request, and says whether there may be another.
func (p *publisher) one(conn *os.File, input *bufio.Reader) bool {
	request, err := http.ReadRequest(input)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(request.Body)
	stream, ok := strings.CutPrefix(request.URL.Path, "/pub/")
	if err != nil || !ok || request.Method != http.MethodPost {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return false
	}
	event := append(append([]byte("data: "), body...), "\n\n"...)
	p.mu.Lock()
	for _, l := range p.loops {
		l.add(item{stream: stream, event: event})
	}
	p.mu.Unlock()
	_, err = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	return err == nil
}

// close ends all connections and waits for who serves them.
func (p *publisher) close() {
	p.mu.Lock()
	for conn := range p.conns {
		_ = conn.Close() // ends its read
	}
	p.mu.Unlock()
	p.serving.Wait()
}
