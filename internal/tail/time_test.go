package tail_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

// pipes is a listener without a network, whose connections a synctest bubble can see through.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve serves h in the bubble and returns a client of it; the function given to t.Cleanup would run outside.
func serve(h http.HandlerFunc) (client *http.Client, stop func()) {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(p) })
	client = &http.Client{Transport: &http.Transport{DialContext: p.dial}}
	return client, func() {
		client.CloseIdleConnections()
		server.Close()
		serving.Wait()
		synctest.Wait()
	}
}

// requests notes when requests came, since the bubble began.
type requests struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
}

func (r *requests) note() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = append(r.at, time.Since(r.start))
	return len(r.at) - 1
}

// send writes body as a stream, at once.
func send(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, body)
	_ = http.NewResponseController(w).Flush()
}

const ended = "event: stream.end\ndata: {\"code\":0}\n\n"

func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	const silence = 30 * time.Second
	tests := []struct {
		name  string
		first http.HandlerFunc // what happens to the first request
		want  time.Duration    // when the second comes
	}{
		{"no head", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, silence + 750*time.Millisecond},
		{"no byte", func(w http.ResponseWriter, r *http.Request) { send(w, ""); <-r.Context().Done() }, silence + 750*time.Millisecond},
		{"nothing after an event", func(w http.ResponseWriter, r *http.Request) {
			send(w, "data: x\n\n")
			<-r.Context().Done()
		}, silence + time.Second},
		{"heartbeats for a while", func(w http.ResponseWriter, r *http.Request) {
			for range 10 {
				send(w, ":\n\n")
				<-time.After(29 * time.Second) // the bubble's time
			}
			send(w, ":\n\n")
			<-r.Context().Done()
		}, 290*time.Second + silence + time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := requests{start: time.Now()}
				client, stop := serve(func(w http.ResponseWriter, r *http.Request) {
					if seen.note() == 0 {
						test.first(w, r)
						return
					}
					send(w, ended)
				})
				defer stop()
				got := run(t.Context(), tail.Options{URL: anyURL, Client: client})
				if got.exit != tail.ExitOK || !strings.Contains(got.stderr, "nothing came for 30s, not even a heartbeat") {
					t.Errorf("exit code %d, error %v, stderr %q", got.exit, got.err, got.stderr)
				}
				// A connection that brought no byte of a stream counts as failed; its delay is in part by chance.
				if len(seen.at) != 2 || seen.at[1] < test.want || seen.at[1] > test.want+250*time.Millisecond {
					t.Errorf("requests at %v, want the second at %v", seen.at, test.want)
				}
			})
		})
	}
}

func TestSilenceCanBeAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := requests{start: time.Now()}
		client, stop := serve(func(w http.ResponseWriter, _ *http.Request) {
			seen.note()
			send(w, "data: x\n\n")
			<-time.After(24 * time.Hour) // the bubble's time
			send(w, ended)
		})
		defer stop()
		got := run(t.Context(), tail.Options{URL: anyURL, Client: client, Silence: -1})
		if got.exit != tail.ExitOK || len(seen.at) != 1 {
			t.Errorf("exit code %d, error %v, requests at %v; want one", got.exit, got.err, seen.at)
		}
	})
}

// A pager that is not scrolled for an hour does not make the server silent.
func TestSlowOutputIsNoSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := requests{start: time.Now()}
		client, stop := serve(func(w http.ResponseWriter, _ *http.Request) {
			seen.note()
			send(w, "data: x\n\n")
			<-time.After(time.Second) // the bubble's time
			send(w, ended)
		})
		defer stop()
		got := run(t.Context(), tail.Options{URL: anyURL, Client: client, Stdout: slowWriter{}})
		if got.exit != tail.ExitOK || len(seen.at) != 1 {
			t.Errorf("exit code %d, error %v, requests at %v; want one", got.exit, got.err, seen.at)
		}
	})
}

type slowWriter struct{}

func (slowWriter) Write(b []byte) (int, error) {
	<-time.After(time.Hour) // the bubble's time
	return len(b), nil
}

func TestRetryIsHonoured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := requests{start: time.Now()}
		client, stop := serve(func(w http.ResponseWriter, _ *http.Request) {
			switch seen.note() {
			case 0:
				send(w, "data: x\n\n") // no delay given: the default
			case 1:
				send(w, "retry: 2731\n\n")
			case 2:
				send(w, "event: stream.busy\ndata: {}\nretry: 45000\n\n")
			case 3:
				send(w, "retry: 0\ndata: x\n\nretry: 9") // the last line is unfinished
			default:
				send(w, ended)
			}
		})
		defer stop()
		if got := run(t.Context(), tail.Options{URL: anyURL, Client: client}); got.exit != tail.ExitOK {
			t.Errorf("exit code %d, error %v", got.exit, got.err)
		}
		s, ms := time.Second, time.Millisecond
		want := []time.Duration{0, s, s + 2731*ms, s + 2731*ms + 45*s, s + 2731*ms + 45*s}
		if diff := cmp.Diff(want, seen.at); diff != "" {
			t.Errorf("requests at (-want +got):\n%s", diff)
		}
	})
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	tests := []struct {
		name       string
		maxRetries int
		wait       time.Duration // all delays together, were none shortened by chance
		requests   int
	}{
		{"default", 0, (1 + 2 + 4 + 8 + 16 + 5*30) * time.Second, 11},
		{"two", 2, 3 * time.Second, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := requests{start: time.Now()}
				client := roundTrip(func(int, *http.Request) (*http.Response, error) { seen.note(); return nil, refused }).client()
				got := run(t.Context(), tail.Options{URL: anyURL, Client: client, MaxRetries: test.maxRetries})
				if got.exit != tail.ExitError || !errors.Is(got.err, refused) || len(seen.at) != test.requests {
					t.Errorf("exit code %d, error %v, %d requests; want 1, the last error, %d", got.exit, got.err, len(seen.at), test.requests)
				}
				if d := time.Since(seen.start); d >= test.wait || d < test.wait*3/4 {
					t.Errorf("gave up after %v, want between 3/4 and just under all of %v", d, test.wait)
				}
			})
		})
	}
}

// A stream that is reached now and then is not given up.
func TestEachStreamStartsTheCountAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := roundTrip(func(n int, _ *http.Request) (*http.Response, error) {
			switch {
			case n == 30:
				return answer(204, "", ""), nil
			case n%3 == 2:
				return answer(200, "text/event-stream", ":"), nil
			default:
				return nil, io.ErrUnexpectedEOF
			}
		}).client()
		if got := run(t.Context(), tail.Options{URL: anyURL, Client: client, MaxRetries: 2}); got.exit != tail.ExitOK {
			t.Errorf("exit code %d, error %v", got.exit, got.err)
		}
	})
}

// A host that was known is one whose network is down.
func TestKnownHostIsAskedForAgain(t *testing.T) {
	t.Parallel()
	client := roundTrip(func(n int, _ *http.Request) (*http.Response, error) {
		switch n {
		case 0:
			return answer(200, "text/event-stream", "retry: 0\n\n"), nil
		case 1:
			return nil, &net.DNSError{Err: "no such host", Name: "bridge.test", IsNotFound: true}
		default:
			return answer(204, "", ""), nil
		}
	}).client()
	if got := run(t.Context(), tail.Options{URL: anyURL, Client: client}); got.exit != tail.ExitOK {
		t.Errorf("exit code %d, error %v; want the end", got.exit, got.err)
	}
}

func TestCancelIsACleanEnd(t *testing.T) {
	t.Parallel()
	hold := func(w http.ResponseWriter, r *http.Request) {
		send(w, "id: 7.m~s3\ndata: x\n\n")
		<-r.Context().Done()
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		stderr  string
	}{
		"while reading": {hold, "-- stopped; to go on from here: --last-event-id 7.m~s3\n"},
		"while waiting": {
			func(w http.ResponseWriter, _ *http.Request) { send(w, "retry: 999999999\n\n") },
			"-- the server closed the connection; reconnecting in 277h46m40s\n-- stopped\n",
		},
		"before the head": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "-- stopped\n"},
		"odd id": {
			func(w http.ResponseWriter, r *http.Request) { send(w, "id: a'$(b)\ndata: x\n\n"); <-r.Context().Done() },
			`-- stopped; to go on from here: --last-event-id 'a'\''$(b)'` + "\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, stop := serve(test.handler)
				defer stop()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Second, cancel)
				start := time.Now()
				got := run(ctx, tail.Options{URL: anyURL, Client: client})
				if got.exit != tail.ExitOK || got.err != nil || time.Since(start) != 10*time.Second {
					t.Errorf("exit code %d, error %v, after %v; want 0 after 10 s", got.exit, got.err, time.Since(start))
				}
				if diff := cmp.Diff(test.stderr, got.stderr); diff != "" {
					t.Errorf("stderr (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An answer that is no event stream may be a stream all the same; tail shows how it begins and ends.
func TestFinalBodyWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, stop := serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = io.WriteString(w, "{}\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		defer stop()
		got := run(t.Context(), tail.Options{URL: anyURL, Client: client})
		want := "the server answered 200 OK with application/x-ndjson, which is no event stream:\n  {}"
		if got.exit != tail.ExitStatus || got.err == nil || got.err.Error() != want {
			t.Errorf("exit code %d, error %v; want %q", got.exit, got.err, want)
		}
	})
}

func TestConnectionsThatAnotherTryWillNotChange(t *testing.T) {
	t.Parallel()
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	plain := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	loop := httptest.NewUnstartedServer(http.RedirectHandler("/", http.StatusFound))
	for _, s := range []*httptest.Server{plain, secure, loop} {
		s.Config.ErrorLog = quiet
		t.Cleanup(s.Close)
	}
	plain.Start()
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	secure.StartTLS()
	loop.Start()
	noHost := roundTrip(func(int, *http.Request) (*http.Response, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "bridge.test", IsNotFound: true}
	}).client()
	tests := []struct {
		name    string
		options tail.Options
		exit    tail.ExitCode
		want    string
	}{
		{"http for https", tail.Options{URL: strings.Replace(plain.URL, "http:", "https:", 1)}, tail.ExitError, "the server speaks http, not https"},
		{"untrusted certificate", tail.Options{URL: secure.URL}, tail.ExitError, "the server's certificate is not trusted"},
		{"unknown host", tail.Options{URL: anyURL, Client: noHost}, tail.ExitError, "there is no host bridge.test"},
		{"redirects without end", tail.Options{URL: loop.URL}, tail.ExitStatus, "stopped after 10 redirects"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := run(t.Context(), test.options)
			if got.exit != test.exit || got.err == nil || !strings.Contains(got.err.Error(), test.want) {
				t.Errorf("exit code %d, error %v; want %d, %q", got.exit, got.err, test.exit, test.want)
			}
		})
	}
}
