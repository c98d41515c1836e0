package delivery

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// hijacked is an HTTP/1 connection that net/http has handed over, and that a goroutine serves: TLS, a compressed response,
// any system but Linux. Its body ends with the connection.
type hijacked struct {
	conn  net.Conn
	stall stall // stands for a deadline set for every write, which costs more
	head  []byte
	from  io.Reader
	left  chan struct{}
}

// hijackedHead is the head of a response that ends with its connection.
func hijackedHead(header http.Header, r *http.Request) []byte {
	head := bytes.NewBuffer(make([]byte, 0, headRoom))
	if r.ProtoMinor == 0 {
		head.WriteString("HTTP/1.0 200 OK\r\n")
	} else {
		head.WriteString("HTTP/1.1 200 OK\r\n")
	}
	header["Date"] = date()
	header["Connection"] = connectionClose
	_ = header.Write(head) // a bytes.Buffer takes everything
	head.WriteString("\r\n")
	return head.Bytes()
}

// headRoom is enough for most heads, and the stream's opening behind.
const headRoom = 768

// Values of headers that many responses share. They are not to be changed.
var (
	connectionClose = []string{"close"}
	dated           atomic.Pointer[dateOf]
)

// dateOf is what Date says in one second.
type dateOf struct {
	second int64
	text   []string
}

// date is the value of Date now.
func date() []string {
	now := time.Now()
	d := dated.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateOf{second: now.Unix(), text: []string{now.UTC().Format(http.TimeFormat)}}
		dated.Store(d)
	}
	return d.text
}

func newHijacked(conn net.Conn, buffered *bufio.ReadWriter, head []byte, timeout time.Duration) *hijacked {
	_ = conn.SetDeadline(time.Time{}) // net/http's deadlines; an error shows at the first write
	h := &hijacked{conn: conn, from: buffered.Reader, head: head, left: make(chan struct{})}
	h.stall.init(timeout, h.giveUp)
	return h
}

// giveUp makes the write under way fail.
func (h *hijacked) giveUp() { _ = h.conn.SetWriteDeadline(time.Now()) }

// watch reads until the client closes the connection or close does. What a client sends after its request means nothing.
func (h *hijacked) watch(left func()) {
	defer close(h.left)
	_, _ = io.Copy(io.Discard, h.from)
	left()
}

func (h *hijacked) start(body []byte) error { return h.write(append(h.head, body...)) }

func (h *hijacked) write(frames []byte) error {
	defer h.stall.end()
	for part := range slices.Chunk(frames, maxWrite) {
		h.stall.begin()
		if _, err := h.conn.Write(part); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
	}
	return nil
}

func (h *hijacked) onGone(f func()) { go h.watch(f) }

// netConner is a connection over another one: *tls.Conn.
type netConner interface{ NetConn() net.Conn }

// lingerer is a TCP connection, or what a listener has wrapped around one.
type lingerer interface{ SetLinger(seconds int) error }

func (h *hijacked) close(cleanly bool) {
	h.stall.stop()
	if cleanly {
		_ = h.conn.Close()
	} else {
		reset(h.conn)
	}
	<-h.left
}

// reset closes the connection in a way that nobody takes for the end of the stream: with a TCP reset, and without TLS's
// close_notify.
func reset(conn net.Conn) {
	if over, ok := conn.(netConner); ok {
		conn = over.NetConn()
	}
	if tcp, ok := conn.(lingerer); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
