// Package tail is the SSE client for the terminal, behind `grpc-sse tail`: it prints a stream's events and keeps
// reading it over cut, silent and refused connections, by the rules that browsers follow.
//
// It knows the bridge's own events (stream.*) and says them in words, and reads any other SSE endpoint as well.
package tail

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Defaults of Options.
const (
	// DefaultMaxRetries is how many connections in a row may fail.
	DefaultMaxRetries = 10
	// DefaultRetryDelay is how long to wait before a reconnect while the server has not said.
	DefaultRetryDelay = time.Second
	// DefaultSilence is how long a connection may carry no byte. The bridge sends a heartbeat every 8 s ± 20 %.
	DefaultSilence = 30 * time.Second
	// maxBackoff bounds the delay between failures, where the server's own is not longer.
	maxBackoff = 30 * time.Second
)

// ExitCode is what the process should exit with.
type ExitCode int

// Exit codes.
const (
	// ExitOK: the stream ended with code OK or a 204, or the user ended it.
	ExitOK ExitCode = 0
	// ExitError: a local error, or connections failed too often.
	ExitError ExitCode = 1
	// ExitUsage: the options are wrong; nothing was sent.
	ExitUsage ExitCode = 2
	// ExitStatus: the stream ended with another status, or the server gave a final HTTP answer that is no stream.
	ExitStatus ExitCode = 3
	// ExitReset: there was a stream.reset, under FailOnReset.
	ExitReset ExitCode = 4
)

// Options says what to read and how to print it. Zero values are the defaults.
type Options struct {
	// URL is the stream's, http or https. Required.
	URL string
	// Header is sent with every request. Accept and Last-Event-ID are set by Run; an Idempotency-Key in it is kept.
	Header http.Header
	// Data, if not nil, is a JSON body, and the request is a POST with it. Default: a GET.
	Data []byte
	// LastEventID is the cursor to begin after. Default: none, where the server begins.
	LastEventID string
	// JSON prints every event as a line {"id","event","data"}. Default: lines for people.
	JSON bool
	// Color sets lines for people in colours.
	Color bool
	// FailOnReset ends at the first stream.reset, with ExitReset.
	FailOnReset bool
	// Stdout gets the events, Stderr what happens to the connection. Default: nowhere.
	Stdout, Stderr io.Writer
	// Client makes the requests. Default: a client of its own with cookies (which balancers tie a client to a
	// server by), without compression and without a deadline.
	Client *http.Client
	// MaxRetries is how many connections in a row may fail, that is bring not one byte of a stream, before Run gives
	// up. Default DefaultMaxRetries; negative: no limit.
	MaxRetries int
	// RetryDelay is how long to wait before a reconnect, until the server's `retry:` field says. It doubles with each
	// connection that fails. Default DefaultRetryDelay.
	RetryDelay time.Duration
	// Silence is how long a connection may carry no byte, heartbeats included, before it counts as dead. Default
	// DefaultSilence; negative: for ever.
	Silence time.Duration
	// MaxEventBytes is the size of the largest event. Default sse.DefaultMaxEventBytes.
	MaxEventBytes int
}

// Run reads the stream until it ends, ctx ends (which is a clean end: the user's), or there is no use in going on.
//
// The error says why the code is not ExitOK, for the caller to print. Run has printed everything else, and each event
// at most once for each cursor: a block that a cut left unfinished is asked for again.
func Run(ctx context.Context, o Options) (ExitCode, error) {
	o, err := o.withDefaults()
	if err != nil {
		return ExitUsage, err
	}
	s := &session{Options: o, out: newPrinter(o), cursor: o.LastEventID, retry: o.RetryDelay}
	if s.Client == nil {
		client, err := newClient()
		if err != nil {
			return ExitError, err
		}
		s.Client, s.ownClient = client, true
		defer client.CloseIdleConnections()
	}
	err = s.run(ctx)
	if f, ok := errors.AsType[*finalError](err); ok {
		return f.exit, f.err
	}
	switch {
	case errors.Is(err, errStopped):
		s.out.note("-- stopped%s", s.howToGoOn())
		return ExitOK, nil
	case err != nil:
		return ExitError, err
	}
	return ExitOK, nil
}

// errStopped is what ends a session whose context has ended.
var errStopped = errors.New("stopped")

// session is one Run.
type session struct {
	Options
	out       *printer
	ownClient bool
	cursor    string        // what the next request presents
	retry     time.Duration // the server's reconnection delay, or Options.RetryDelay
	reached   bool          // some connection has brought a stream
	failures  int           // connections in a row that brought no byte of a stream
}

// finalError ends the session; any other error of a connection is followed by the next connection.
type finalError struct {
	exit ExitCode
	err  error
}

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func final(exit ExitCode, format string, a ...any) error {
	return &finalError{exit, fmt.Errorf(format, a...)}
}

// run connects until the stream is over. A nil error is an end with code OK.
func (s *session) run(ctx context.Context) error {
	for {
		err := s.connect(ctx)
		if _, ok := errors.AsType[*finalError](err); ok || err == nil {
			return err
		}
		if ctx.Err() != nil {
			return errStopped
		}
		if s.ownClient { // a connection that died must not serve the next request
			s.Client.CloseIdleConnections()
		}
		if s.MaxRetries >= 0 && s.failures > s.MaxRetries {
			return fmt.Errorf("gave up after %d connections in a row that failed; the last: %w", s.failures, err)
		}
		delay := s.delay()
		s.out.note("-- %s; reconnecting in %s%s", clean(err.Error()), round(delay), s.after())
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errStopped
		}
	}
}

// delay is how long to wait now: what the server asked for, and after failures up to twice as long for each, in part
// by chance, so that many clients do not come back at once.
func (s *session) delay() time.Duration {
	if s.failures == 0 {
		return s.retry
	}
	most := max(s.retry, maxBackoff)
	backoff := most
	if factor := math.Pow(2, float64(s.failures-1)); factor*float64(s.retry) < float64(most) {
		backoff = time.Duration(factor * float64(s.retry))
	}
	return backoff - time.Duration(mathrand.Float64()*float64(backoff)/4)
}

func (s *session) after() string {
	if s.cursor == "" {
		return ""
	}
	return ", after id " + clean(s.cursor)
}

func (s *session) howToGoOn() string {
	if s.cursor == "" {
		return ""
	}
	return "; to go on from here: --last-event-id " + shellQuote(s.cursor)
}

func newClient() (*http.Client, error) {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		base = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	transport := base.Clone()
	transport.DisableCompression = true // a compressed stream may hold events back
	// A cancelled request leaves an HTTP/2 connection open; pings find out that it is dead.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("cookies: %w", err)
	}
	return &http.Client{Transport: transport, Jar: jar}, nil
}

// newKey names the call from the client's side, so that a request that died before its first byte comes back to the
// same call instead of starting another: 26 random characters.
func newKey() string { return rand.Text() }

// watchRetry takes over the reconnection delay that the stream has given.
func (s *session) watchRetry(p *sse.Parser) {
	if p.Retry() != sse.NoRetry {
		s.retry = p.Retry()
	}
}
