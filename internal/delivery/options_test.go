package delivery_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

func TestKicked(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		src.ageless = true
		kicked := make(chan struct{})
		o.Kicked, o.KickReason = kicked, "limit"
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		synctest.Wait() // until nothing is under way any more
		close(kicked)
		c.expectEnd("leave(limit)\n\n", true)
	})
}

func TestPollEndsAfterItsWait(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		o.Wait = 20 * time.Second
		src := newSource()
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		began := time.Now()
		rest, err := io.ReadAll(c.reader)
		if want := ":\n\n:\n\nleave()\n\n"; err != nil || string(rest) != want && string(rest) != ":\n\n"+want {
			t.Errorf("%q, %v", rest, err)
		}
		if took := time.Since(began); took != o.Wait {
			t.Errorf("took %v", took)
		}
		if err := <-c.result; err != nil {
			t.Error(err)
		}
		if src.retry < 500*time.Millisecond || src.retry > time.Second {
			t.Errorf("retry %v, want 0.5 to 1 s", src.retry)
		}
	})
}

func TestProgressIsOfEventsAlone(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		progress := make(chan struct{}, 10)
		o.Progress = func() { progress <- struct{}{} }
		src := newSource()
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n:\n\n:\n\n")
		if len(progress) != 0 {
			t.Error("a heartbeat is no progress")
		}
		src.add("one\n\n")
		c.expect("one\n\n:\n\n")
		if len(progress) != 1 {
			t.Errorf("%d times, want once", len(progress))
		}
		src.end()
		<-c.result
	})
}

// TestBeatsFollowLongWrites: who has taken a long time over a write is not sent a beat behind it at once.
func TestBeatsFollowLongWrites(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get).opened()
		time.Sleep(6 * time.Second)
		src.add(big)
		time.Sleep(19 * time.Second)
		c.expect(big)
		began := time.Now()
		c.expect(":\n\n")
		if quiet := time.Since(began); quiet < 6400*time.Millisecond || quiet > 9600*time.Millisecond {
			t.Errorf("the beat comes after %v, want 8 s ± 20 %%", quiet)
		}
	})
}

// TestSilentBeat: a representation without heartbeats gets none.
func TestSilentBeat(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		src.beat = ""
		c := serve(t, src, o, get)
		c.head()
		c.expect("opening\n\n")
		time.Sleep(time.Minute)
		src.add("one\n\n")
		c.expect("one\n\n")
		src.end()
		<-c.result
	})
}

// chunked is a response that must be sent in chunks.
func chunked() settings {
	o := options
	o.ContentType = "application/x-ndjson"
	return o
}

func TestOthersThanSSEAreChunked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("one\n")
		c := serve(t, src, chunked(), get)
		response, err := http.ReadResponse(c.reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(response.TransferEncoding, []string{"chunked"}) || response.Header.Get("Content-Type") != "application/x-ndjson" ||
			response.Header.Get("X-Accel-Buffering") != "no" || response.Close {
			t.Errorf("%v %v", response.TransferEncoding, response.Header)
		}
		src.end()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "opening\n\none\n" {
			t.Errorf("%q, %v", body, err)
		}
		if err := <-c.result; err != nil {
			t.Error(err)
		}
	})
}

// TestACutShows: what Leave or Next cannot end well must not look as if it had ended.
func TestACutShows(t *testing.T) {
	for _, coding := range []string{"", delivery.Gzip} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource()
			src.leaveErr = errors.New("cannot say so")
			o := chunked()
			o.MaxAge, o.Encoding = 10*time.Second, coding
			c := serve(t, src, o, get)
			response, err := http.ReadResponse(c.reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("coding %q: reading ends with %v", coding, err)
			}
		})
	}
}

// TestSlowReaderOfChunks: who is given up in the middle of a line must not take it for the last one.
func TestSlowReaderOfChunks(t *testing.T) {
	src := newSource()
	src.add(strings.Repeat("x", 32<<20)) // more than the sockets hold
	o := chunked()
	o.WriteTimeout = 50 * time.Millisecond
	result := make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result <- o.serve(w, r, src)
	}))
	listenAs(t, server)
	server.Start()
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := <-result; err == nil {
		t.Fatal("Serve did not fail")
	}
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("after %d bytes the response looks ended", n)
	}
}

func TestTypeSaidByTheFirstBytes(t *testing.T) {
	for _, tc := range []struct{ said, body, want string }{
		{"text/csv", "a,b\n", "text/csv"},
		{"", "a,b\n", "application/octet-stream"},
		{"", "", "application/octet-stream"},
	} {
		for _, coding := range []string{"", delivery.Gzip} {
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.silent, src.beat = true, ""
				said := ""
				o := options
				o.TypeOf, o.Encoding = func() string { return said }, coding
				c := serve(t, src, o, get)
				heads := make(chan *http.Response)
				go func() {
					response, err := http.ReadResponse(c.reader, nil)
					if err != nil {
						t.Error(err)
					}
					heads <- response
				}()
				time.Sleep(30 * time.Second)
				select {
				case <-heads:
					t.Fatal("the head does not wait")
				default:
				}
				said = tc.said
				src.change(func() {
					if tc.body != "" {
						src.frames = append(src.frames, []byte(tc.body))
					}
					src.ended = true
				})
				response := <-heads
				body, err := io.ReadAll(decode(t, coding, response.Body))
				if got := response.Header.Get("Content-Type"); err != nil || string(body) != tc.body || got != tc.want {
					t.Errorf("%q of type %q, %v; want %q of %q", body, got, err, tc.body, tc.want)
				}
				<-c.result
			})
		}
	}
}

// TestCutOverTLSIsAReset: without close_notify, which would say that all was sent.
func TestCutOverTLSIsAReset(t *testing.T) {
	for _, clean := range []bool{true, false} {
		src := newSource()
		src.leaveErr = nil
		o := options
		kicked := make(chan struct{})
		close(kicked)
		if o.Kicked = kicked; !clean {
			src.leaveErr = errors.New("cannot say so")
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = o.serve(w, r, src)
		}))
		listenAs(t, server)
		server.StartTLS()
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = false
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		tlsConn := tlsClient(conn, transport.TLSClientConfig)
		if _, err := io.WriteString(tlsConn, get); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(bufio.NewReader(tlsConn))
		switch {
		case clean && (err != nil || !strings.HasSuffix(string(body), "leave()\n\n")):
			t.Errorf("clean end: %q, %v", body, err)
		case !clean && (err == nil || !strings.Contains(err.Error(), "reset")):
			t.Errorf("cut: %q ends with %v", body, err)
		}
		_ = tlsConn.Close()
		server.Close()
	}
}
