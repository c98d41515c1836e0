package tail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// connect makes one request and reads its stream. The error is nil when the stream is over with code OK, a finalError
// when it is over otherwise, and any other when the connection is: a new one goes on from the cursor.
func (s *session) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := s.newSilence(cancel)

	s.failures++ // until a byte of a stream arrives
	req, err := s.request(ctx)
	if err != nil {
		return final(ExitError, "%w", err)
	}
	silent.begin()
	resp, err := s.Client.Do(req)
	silent.end()
	if err != nil {
		return s.connectError(ctx, resp, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent:
		s.out.note("-- end: 204, the stream is over")
		return nil
	case resp.StatusCode != http.StatusOK || !isEventStream(resp.Header):
		defer time.AfterFunc(bodyWait, func() { cancel(nil) }).Stop()
		return finalResponse(resp)
	}
	parser := sse.NewParser(&watchedReader{r: resp.Body, silent: silent, first: s.begun}, s.MaxEventBytes)
	parser.Resume(s.cursor)
	return causeOf(ctx, s.read(parser))
}

// bodyWait is how long the body of a final response is waited for: it may be a stream of another kind, without end.
const bodyWait = 3 * time.Second

// begun notes that the connection has brought a byte of a stream.
func (s *session) begun() { s.reached, s.failures = true, 0 }

func (s *session) request(ctx context.Context) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if s.Data != nil {
		method, body = http.MethodPost, bytes.NewReader(s.Data)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL, body)
	if err != nil {
		return nil, err
	}
	req.Header = s.Header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if strings.ContainsFunc(s.cursor, notHeaderRune) {
		return nil, fmt.Errorf("the server gave the id %q, which no header can carry back to it", s.cursor)
	}
	if s.cursor != "" {
		req.Header.Set("Last-Event-ID", s.cursor)
	}
	return req, nil
}

// read prints events until the stream or the connection ends.
func (s *session) read(p *sse.Parser) error {
	for {
		event, err := p.Next()
		s.cursor = p.LastEventID()
		s.watchRetry(p)
		switch {
		case errors.Is(err, sse.ErrTooLarge):
			return final(ExitError, "an event is larger than %d bytes, the most that tail reads", s.maxEventBytes())
		case errors.Is(err, io.EOF):
			return errors.New("the server closed the connection")
		case err != nil:
			return fmt.Errorf("the connection was cut: %w", err)
		}
		if err := s.out.event(event); err != nil {
			return final(ExitError, "standard output: %w", err)
		}
		switch event.Type {
		case typeEnd:
			return endOf(event.Data)
		case typeReset:
			if s.FailOnReset {
				return final(ExitReset, "the stream was reset (%s)", parseControl(event.Data).reason())
			}
		}
	}
}

func (s *session) maxEventBytes() int { return orDefault(s.MaxEventBytes, sse.DefaultMaxEventBytes) }

// connectError sorts out what kept a request from being answered. What another try will not change is final.
func (s *session) connectError(ctx context.Context, resp *http.Response, err error) error {
	err = causeOf(ctx, err)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // the URL is the user's own, and may hold what should not be on a screen
	}
	if resp != nil { // redirects without end
		return final(ExitStatus, "%w", err)
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return final(ExitError, "the server speaks http, not https: write http:// in the URL")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return final(ExitError, "the server's certificate is not trusted: %w", err)
	}
	// An unknown host that was known before is a network that is down; one that never was is a typing error.
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound && !s.reached {
		return final(ExitError, "there is no host %s", clean(dns.Name))
	}
	return fmt.Errorf("cannot connect: %w", err)
}

// causeOf is why ctx was cancelled, where that is what made err: no finalError is made by that.
func causeOf(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*finalError](err); ok || err == nil || ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

func isEventStream(h http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) && mediaType == "text/event-stream"
}

// silence cancels a connection on which a wait for its next byte takes too long. Only the waits count: a reader of
// standard output that takes its time is no fault of the server's.
type silence struct {
	after time.Duration
	timer *time.Timer // nil: no limit
}

func (s *session) newSilence(cancel context.CancelCauseFunc) silence {
	if s.Silence < 0 {
		return silence{}
	}
	silent := fmt.Errorf("nothing came for %s, not even a heartbeat", round(s.Silence))
	timer := time.AfterFunc(s.Silence, func() { cancel(silent) })
	timer.Stop()
	return silence{after: s.Silence, timer: timer}
}

// begin starts a wait, and end ends it.
func (s silence) begin() {
	if s.timer != nil {
		s.timer.Reset(s.after)
	}
}

func (s silence) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// watchedReader times every wait, and calls first, once, when the first byte has come.
type watchedReader struct {
	r      io.Reader
	silent silence
	first  func()
}

func (w *watchedReader) Read(b []byte) (int, error) {
	w.silent.begin()
	n, err := w.r.Read(b)
	w.silent.end()
	if n > 0 && w.first != nil {
		w.first()
		w.first = nil
	}
	return n, err
}
