package cutproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
)

// link is one client connection and its connection to the target.
type link struct {
	proxy    *Proxy
	number   int
	down, up net.Conn

	// Guarded by proxy.mu. Of the exchange that is going on; nil before the first.
	now *Exchange
	cut *Cut
}

func (l *link) close() {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.open, l.down)
	delete(l.proxy.open, l.up)
	_, _ = l.down.Close(), l.up.Close()
}

// copy passes on what comes, until it ends.
func (l *link) copy(to, from net.Conn) {
	defer l.close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if to == l.down {
			l.proxy.mu.Lock()
			l.proxy.traffic[l.number-1] += n
			l.proxy.mu.Unlock()
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// requests forwards what the client sends, one request after the other, until it goes away.
func (l *link) requests() {
	defer l.close()
	from := bufio.NewReader(l.down)
	for {
		raw, request, err := readHead(from)
		if err != nil {
			return
		}
		if page, ok := l.proxy.options.Pages[request.URL.Path]; ok {
			fmt.Fprintf(l.down, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"+
				"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(page), page)
			return
		}
		if !l.begin(raw, l.proxy.options.Plan(request)) {
			return
		}
		if _, err := l.up.Write(raw); err != nil {
			return
		}
		if _, err := io.CopyN(l.up, from, max(request.ContentLength, 0)); err != nil {
			return
		}
	}
}

// readHead reads up to and including the empty line that ends a request's head.
func readHead(from *bufio.Reader) (raw []byte, request *http.Request, err error) {
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return nil, nil, err
		}
		raw = append(raw, line...)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	request, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	return raw, request, err
}

// begin makes what the target sends from now on part of a new exchange; false if that is cut before its first byte.
func (l *link) begin(request []byte, cut *Cut) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.now, l.cut = &Exchange{Conn: l.number, Request: request}, cut
	l.proxy.exchanges = append(l.proxy.exchanges, l.now)
	return !l.cutWhenDueLocked()
}

// responses passes on what the target sends, until it ends or the cut is due.
func (l *link) responses() {
	defer l.close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := l.up.Read(buffer)
		if n > 0 && !l.pass(buffer[:n]) || err != nil {
			return
		}
	}
}

// pass writes data to the client, up to the cut. It reports whether there may be more.
func (l *link) pass(data []byte) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.now == nil {
		return false // a target that speaks first does not speak HTTP
	}
	before := len(l.now.Response)
	l.now.Response = append(l.now.Response, data...)
	if limit, known := l.limitLocked(); known && limit < len(l.now.Response) {
		l.now.Response = l.now.Response[:limit]
	}
	// The lock is held while writing, so that CutAll and the recorded bytes agree. A client that stops reading would
	// stop the proxy: tests of slow readers go around it.
	if _, err := l.down.Write(l.now.Response[before:]); err != nil {
		return false
	}
	return !l.cutWhenDueLocked()
}

// limitLocked is the length of the response at which it is cut, once that is known.
func (l *link) limitLocked() (limit int, known bool) {
	switch {
	case l.cut == nil:
		return 0, false
	case !l.cut.Body:
		return l.cut.After, true
	}
	head := bytes.Index(l.now.Response, []byte("\r\n\r\n"))
	return head + len("\r\n\r\n") + l.cut.After, head >= 0
}

// cutWhenDueLocked makes the cut if the response is long enough, and reports whether it did.
func (l *link) cutWhenDueLocked() bool {
	limit, known := l.limitLocked()
	if !known || len(l.now.Response) < limit {
		return false
	}
	l.now.Cut = true
	if l.cut.Close {
		_ = l.down.Close()
	} else {
		reset(l.down)
	}
	return true
}
