package rivals

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// pipeline sends events by POST over one connection, some before the first is answered: so a publisher that has more to
// send does not wait for a round trip, and events keep their order.
type pipeline struct {
	writing sync.Mutex // held while a request is written
	request []byte
	conn    net.Conn
	open    chan struct{} // a token for each request that is not answered
	done    chan error    // what the reading ended with
	failed  error         // of the last write that did
}

// mostAhead is how many events may be unanswered. It is the number of connections that publishers of such servers use.
const mostAhead = 8

// post sends a body to /pub/STREAM. It waits while too many are not answered, and for nothing else.
func (p *pipeline) post(ctx context.Context, dial func(context.Context) (net.Conn, error), stream string, body []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.conn == nil {
		conn, err := dial(ctx)
		if err != nil {
			return err
		}
		p.conn, p.open, p.done = conn, make(chan struct{}, mostAhead), make(chan error, 1) // one: nobody may ask
		go func() { p.done <- p.answers(bufio.NewReader(conn)) }()
	}
	select {
	case p.open <- struct{}{}:
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("publishing: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.request = appendPost(p.request[:0], stream, body)
	_, err := p.conn.Write(p.request)
	if err != nil {
		p.failed = err // the answer that says why may be lost
	}
	return err
}

// answers reads until the connection ends or an answer is no success.
func (p *pipeline) answers(input *bufio.Reader) error {
	for {
		response, err := http.ReadResponse(input, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		if response.StatusCode/100 != 2 {
			return fmt.Errorf("%s: %.200s", response.Status, text)
		}
		<-p.open
	}
}

// close ends it and says what was wrong.
func (p *pipeline) close() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.conn == nil {
		return nil
	}
	_ = p.conn.Close() // ends answers
	err := <-p.done
	p.conn = nil
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return p.failed
	}
	return err
}
