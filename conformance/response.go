package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read of a response that is no stream.
const maxBody = 1 << 20

// errTooLate: something did not come in time.
var errTooLate = errors.New("nothing came in time")

// response is one response under way. It is read only when asked: a client that takes nothing holds up the sender.
type response struct {
	status    int
	head      http.Header
	body      []byte // of a response that is no stream
	presented string // the request's Last-Event-ID

	frames []Frame // so far, heartbeats left out
	rules  invariants

	conn    net.Conn
	chunks  chan chunk
	pending []byte // bytes that are not a whole frame yet
	done    error  // how the body ended; nil while it has not
	cancel  context.CancelFunc
	work    sync.WaitGroup
	idle    func()
}

type chunk struct {
	data []byte
	err  error
}

// ask makes a request on a connection of its own. The response must be closed.
func ask(ctx context.Context, base, method, target string, headers map[string]string, body *string) (*response, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	r := &response{
		chunks: make(chan chunk), presented: headers["Last-Event-ID"],
		rules: invariants{presented: headers["Last-Event-ID"], hidden: strings.Contains(target, "sse.events=")},
	}
	ctx, r.cancel = context.WithCancel(ctx)
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			r.conn = conn
			return conn, err
		},
	}
	r.idle = transport.CloseIdleConnections
	var content io.Reader = http.NoBody
	if body != nil {
		content = strings.NewReader(*body)
	}
	req, err := http.NewRequestWithContext(ctx, method, base, content)
	if err != nil {
		r.cancel()
		return nil, err
	}
	req.URL = &url.URL{Scheme: u.Scheme, Host: u.Host, Opaque: target} // the target goes out as it is written
	for name, value := range headers {
		if value != "" {
			req.Header[name] = []string{value}
		}
	}
	if _, named := headers["User-Agent"]; !named {
		req.Header.Set("User-Agent", "")
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		r.cancel()
		return nil, err
	}
	r.status, r.head = answer.StatusCode, answer.Header
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") || method == http.MethodHead {
		defer r.close()
		defer answer.Body.Close()
		r.body, err = io.ReadAll(io.LimitReader(answer.Body, maxBody))
		return r, err
	}
	r.work.Go(func() { r.read(ctx, answer.Body) })
	return r, nil
}

func (r *response) read(ctx context.Context, body io.ReadCloser) {
	defer body.Close()
	for {
		buf := make([]byte, 4096)
		n, err := body.Read(buf)
		select {
		case r.chunks <- chunk{buf[:n], err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// isStream reports whether there is a stream to read.
func (r *response) isStream() bool { return r.body == nil }

// close ends the response from the client's side.
func (r *response) close() {
	r.cancel()
	r.work.Wait()
	r.idle()
}

// reset cuts the connection with a reset.
func (r *response) reset() {
	if tcp, ok := r.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the other side sees an orderly end, which is a cut, too
	}
	r.close()
}

// more waits for more bytes. The error is errTooLate, io.EOF for a clean end, or what cut the body.
func (r *response) more(late <-chan time.Time) error {
	if r.done != nil {
		return r.done
	}
	select {
	case c := <-r.chunks:
		r.pending = append(r.pending, c.data...)
		r.done = c.err
		if len(c.data) > 0 {
			return nil
		}
		return c.err
	case <-late:
		return errTooLate
	}
}

// next returns the next frame, heartbeats included.
func (r *response) next(late <-chan time.Time) (Frame, error) {
	for {
		if end := bytes.Index(r.pending, []byte("\n\n")); end >= 0 {
			f, err := parseFrame(string(r.pending[:end]))
			r.pending = r.pending[end+2:]
			if err == nil {
				err = r.rules.add(f)
			}
			if err == nil && !f.IsHeartbeat() {
				r.frames = append(r.frames, f)
			}
			return f, err
		}
		if err := r.more(late); err != nil {
			if errors.Is(err, io.EOF) && len(r.pending) > 0 {
				return Frame{}, fmt.Errorf("the stream ended cleanly inside a frame: %q", r.pending)
			}
			return Frame{}, err
		}
	}
}

// take waits for n bytes more and drops them.
func (r *response) take(n int, late <-chan time.Time) error {
	for len(r.pending) < n {
		if err := r.more(late); err != nil {
			return err
		}
	}
	r.pending = nil
	return nil
}
