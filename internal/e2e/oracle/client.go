package oracle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// ErrSilent ends a connection that carried no byte, heartbeats included, for Client.Silence.
var ErrSilent = errors.New("the connection went silent")

// Client reads one stream as EventSource does: it knows nothing of stream.end and comes back after every end until it
// gets a 204 or another answer that is no stream.
type Client struct {
	// URL is the stream's.
	URL string
	// Header is sent with each request.
	Header http.Header
	// Verb is the method of the requests. Default: GET.
	Verb string
	// Body is sent as JSON with each request. Default: none.
	Body string
	// HTTP makes the requests. Default: http.DefaultClient.
	HTTP *http.Client
	// Cursor is the first request's Last-Event-ID. Default: none.
	Cursor string
	// MaxDelay is the longest wait before a reconnect, whatever the server asks for. Default: no limit.
	MaxDelay time.Duration
	// Silence is how long a connection may carry no byte. Default 30 s.
	Silence time.Duration
	// OnRecord, if set, is called with each record as it comes.
	OnRecord func(Record)
	// Until, if set, ends Run without an error at the first record of which it says so. It is for streams that never end:
	// what follows that record is not read.
	Until func(Record) bool
}

// errEnough ends a connection after the record that Until wanted.
var errEnough = errors.New("that was the last record wanted")

// Run reads until the server says that the stream is over, Until says so, or ctx ends. The transcript is good in either
// case; the error is ctx's, or says which status ended the stream where that was not 204.
func (c *Client) Run(ctx context.Context) (*Transcript, error) {
	t := &Transcript{}
	cursor, delay := c.Cursor, 3*time.Second
	for {
		p := &parser{idSeen: cursor, lastEventID: cursor}
		number := len(t.Connections)
		t.Connections = append(t.Connections, Connection{Presented: cursor})
		conn := &t.Connections[number]
		p.odd = oddities(&conn.Oddities)
		enough := false
		p.emit = func(id string, hasID bool, event, data string) {
			if enough {
				return
			}
			r := Record{Connection: number, Event: event, Data: data}
			if hasID {
				r.ID = id
			}
			t.Records = append(t.Records, r)
			if c.OnRecord != nil {
				c.OnRecord(r)
			}
			enough = c.Until != nil && c.Until(r)
		}
		over := c.connect(ctx, conn, p, func() bool { return enough })
		cursor = p.lastEventID
		switch {
		case enough:
			return t, nil
		case ctx.Err() != nil:
			return t, ctx.Err()
		case over && conn.Status == http.StatusNoContent:
			return t, nil
		case over:
			return t, conn.Err
		}
		if p.hasRetry {
			delay = p.retry
		}
		if err := c.pause(ctx, delay); err != nil {
			return t, err
		}
	}
}

func (c *Client) pause(ctx context.Context, delay time.Duration) error {
	if c.MaxDelay > 0 {
		delay = min(delay, c.MaxDelay)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect makes one request, notes in conn how it went, and reports whether EventSource would now be closed for good.
func (c *Client) connect(ctx context.Context, conn *Connection, p *parser, enough func() bool) (over bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := c.Silence
	if silence == 0 {
		silence = 30 * time.Second
	}
	timer := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer timer.Stop()
	defer func() {
		if cause := context.Cause(ctx); conn.Err != nil && cause != nil {
			conn.Err = cause
		}
	}()

	req, err := c.request(ctx, conn.Presented)
	if err != nil {
		conn.Err = err
		return true
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		conn.Err = err
		return false
	}
	defer resp.Body.Close()
	conn.Status = resp.StatusCode
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // a broken one is no event stream
	if resp.StatusCode != http.StatusOK || mediaType != "text/event-stream" {
		if resp.StatusCode != http.StatusNoContent {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // what came of it says enough
			conn.Err = fmt.Errorf("status %d, content type %q: %s", resp.StatusCode, mediaType, body)
		}
		return true
	}
	conn.Err = read(resp.Body, p, func() { timer.Reset(silence) }, enough)
	return false
}

func (c *Client) request(ctx context.Context, cursor string) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if c.Body != "" {
		body = strings.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(c.Verb, http.MethodGet), c.URL, body)
	if err != nil {
		return nil, err
	}
	if c.Header != nil {
		req.Header = c.Header.Clone()
	}
	req.Header.Set("Accept", "text/event-stream")
	if c.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if cursor != "" {
		req.Header.Set("Last-Event-ID", cursor)
	}
	return req, nil
}

// read feeds p until the body ends or there is enough; heard is called with every arrival.
func read(body io.Reader, p *parser, heard func(), enough func() bool) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			heard()
		}
		for _, b := range buf[:n] {
			p.feed(b)
		}
		if enough() {
			return errEnough
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
