package page

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxBody is how much of a request's body is read before it goes to the bridge, whose own limit is lower.
	maxBody = 1 << 20
	// cutWithin is how long a cut waits for the next frame, to cut it in its middle. After that the connection is cut
	// between two frames.
	cutWithin = 1500 * time.Millisecond
)

// hopByHop are headers that are about one connection. Expect was answered here, when the body was read.
var hopByHop = []string{
	"Connection", "Expect", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
}

var errCut = errors.New("the connection was cut on purpose")

// proxy sends the request to the bridge on a connection of its own, and hands the answer's bytes to the client as they
// are: head, chunk sizes, everything.
func (p *Page) proxy(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request's body could not be read, or is longer than 1 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	out := forBridge(r, body)
	up, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", p.bridge)
	if err != nil {
		p.log.Warn("the bridge cannot be reached", "bridge", p.bridge, "error", err)
		http.Error(w, "the bridge cannot be reached: see the demo's log", http.StatusBadGateway)
		return
	}
	defer up.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.log.Error("the connection cannot be taken over", "error", err)
		http.Error(w, "the page needs HTTP/1.1", http.StatusInternalServerError)
		return
	}
	l := &link{client: client, ended: make(chan struct{})}
	defer l.close()
	unhook := p.whenEnded(l.close)
	defer unhook()
	if err := client.SetDeadline(time.Time{}); err != nil { // the server's deadlines still hold
		return
	}
	l.tap = p.taps.open(l, r)
	p.running.Go(func() { // ends with the client's connection, which is closed above
		_, _ = io.Copy(io.Discard, buffered.Reader)
		l.gone.Store(true)
		_ = up.Close()
	})
	err = out.Write(up)
	if err == nil {
		err = l.answer(up, out)
	}
	l.tap.closed(l, err)
}

// forBridge is the request as the bridge gets it: the same, but for what is about the connection.
func forBridge(r *http.Request, body []byte) *http.Request {
	out := r.Clone(r.Context())
	for _, h := range hopByHop {
		out.Header.Del(h)
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // net/http would add its own
	}
	out.Close = true // one request, one connection: when the answer ends, so does the connection
	out.TransferEncoding = nil
	out.ContentLength = int64(len(body))
	out.Body = http.NoBody
	if len(body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	return out
}

// link is a client's connection that belongs to one answer of the bridge.
type link struct {
	client net.Conn
	tap    *tap // nil: nobody watches
	run    string
	number int
	ended  chan struct{} // closed with the client's connection

	armed  atomic.Bool // the next frame is to be cut
	cut    atomic.Bool // the connection was reset on purpose
	gone   atomic.Bool // the client went away by itself
	closed atomic.Bool
}

// answer copies the bridge's answer to the client. Every byte that is read from up is written to the client before it
// is looked at, so what is recorded is what the client got.
func (l *link) answer(up io.Reader, r *http.Request) error {
	passing := bufio.NewReader(io.TeeReader(up, l))
	response, err := http.ReadResponse(passing, r)
	for err == nil && response.StatusCode < http.StatusOK { // 1xx: the answer is yet to come
		response, err = http.ReadResponse(passing, r)
	}
	if err != nil {
		return fmt.Errorf("reading the bridge's answer: %w", err)
	}
	defer response.Body.Close()
	l.tap.head(l, response)
	buf := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buf)
		l.tap.data(l, buf[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Write passes bytes on to the client, or only the first of them when the connection is to be cut.
func (l *link) Write(b []byte) (int, error) {
	if l.armed.CompareAndSwap(true, false) {
		n, err := l.client.Write(b[:cutAt(b)])
		l.reset()
		if err == nil {
			err = errCut
		}
		return n, err
	}
	return l.client.Write(b)
}

// cutAt is where to cut bytes so that a frame is torn: behind its id and inside its data, where it hurts most. A client
// that took the id for received would lose the event.
func cutAt(b []byte) int {
	const intoData = 18
	i := bytes.Index(b, []byte("\ndata: "))
	if i < 0 {
		return len(b) / 2
	}
	line := b[i+1:]
	if end := bytes.IndexByte(line, '\n'); end > 0 {
		line = line[:end]
	}
	return i + 1 + min(intoData, len(line)*2/3)
}

// breakSoon cuts the connection in the middle of the next frame, or when none comes in time.
func (l *link) breakSoon() {
	if !l.armed.CompareAndSwap(false, true) {
		return
	}
	go func() {
		t := time.NewTimer(cutWithin)
		defer t.Stop()
		select {
		case <-t.C:
			l.reset()
		case <-l.ended:
		}
	}()
}

// reset cuts the connection as a router that forgot it would: the client gets a TCP reset, not an orderly end.
func (l *link) reset() {
	if tcp, ok := l.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	l.cut.Store(true)
	l.close()
}

func (l *link) close() {
	if l.closed.CompareAndSwap(false, true) {
		_ = l.client.Close()
		close(l.ended)
	}
}
