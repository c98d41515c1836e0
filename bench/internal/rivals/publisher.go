package rivals

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// publisher sends events by POST over connections that it keeps: as many as there are requests at once, and one for those
// that are sent ahead.
type publisher struct {
	addr  string
	tls   bool
	ahead pipeline

	mu     sync.Mutex
	idle   []*posting
	closed bool
}

// posting is one connection.
type posting struct {
	conn    net.Conn
	input   *bufio.Reader
	request []byte
}

// post sends a body to /pub/STREAM and waits for the answer.
func (p *publisher) post(ctx context.Context, stream string, body []byte) error {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err = c.exchange(stream, body)
	if !stop() || err != nil {
		_ = c.conn.Close() // what comes next on it is not known
		if err == nil {
			return nil
		}
		return fmt.Errorf("publishing to %s: %w", stream, err)
	}
	p.put(c)
	return nil
}

func (c *posting) exchange(stream string, body []byte) error {
	c.request = appendPost(c.request[:0], stream, body)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.input, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %.200s", response.Status, text)
	}
	return nil
}

func (p *publisher) get(ctx context.Context) (*posting, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		c := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &posting{conn: conn, input: bufio.NewReader(conn)}, nil
}

func (p *publisher) dial(ctx context.Context) (net.Conn, error) {
	if p.tls {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // to itself; the certificate was made now
		return dialer.DialContext(ctx, "tcp", p.addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", p.addr)
}

func (p *publisher) put(c *posting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.conn.Close() // nobody uses it
		return
	}
	p.idle = append(p.idle, c)
}

// postAhead is post that does not wait for the answer: when it is no success, a later call or close says so.
func (p *publisher) postAhead(ctx context.Context, stream string, body []byte) error {
	return p.ahead.post(ctx, p.dial, stream, body)
}

// close closes all connections, and says what was wrong with what was sent ahead.
func (p *publisher) close() error {
	err := p.ahead.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.conn.Close() // as above
	}
	p.idle = nil
	return err
}

// appendPost appends a request that publishes body.
func appendPost(dst []byte, stream string, body []byte) []byte {
	dst = fmt.Appendf(dst, "POST /pub/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", stream, len(body))
	return append(dst, body...)
}
