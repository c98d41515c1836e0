package cutproxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const body = "data: 1\n\n"

// target answers every request with body and its own, if any.
func target(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil // the same length every time
		sent, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%s", sent, body)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// client makes a client that shares connections with nobody.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestCutsAtTheByte(t *testing.T) {
	for after := range len(body) + 1 {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprintf("after=%d,clean=%t", after, clean), func(t *testing.T) {
				p := cutproxy.Start(t, cutproxy.Options{Target: target(t), Plan: func(*http.Request) *cutproxy.Cut {
					return &cutproxy.Cut{After: after, Body: true, Close: clean}
				}})
				response, err := client(t).Get(p.Origins()[0])
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				got, err := io.ReadAll(response.Body)
				if string(got) != body[:after] {
					t.Errorf("body %q, want %q", got, body[:after])
				}
				// The response has a length, so the client knows that it has all of it and does not look further.
				switch {
				case after == len(body):
					if err != nil {
						t.Errorf("error %v, want none", err)
					}
				case clean:
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("error %v, want %v", err, io.ErrUnexpectedEOF)
					}
				case !errors.Is(err, syscall.ECONNRESET):
					t.Errorf("error %v, want %v", err, syscall.ECONNRESET)
				}
			})
		}
	}
}

func TestCutInsideTheHead(t *testing.T) {
	p := cutproxy.Start(t, cutproxy.Options{Target: target(t), Plan: func(r *http.Request) *cutproxy.Cut {
		return &cutproxy.Cut{After: int(r.URL.Path[1] - '0')}
	}})
	for after := range 10 {
		// POST, because Go's client repeats a GET that died before its first byte.
		_, err := client(t).Post(fmt.Sprintf("%s/%d", p.Origins()[0], after), "", strings.NewReader("x"))
		if err == nil {
			t.Errorf("after %d bytes: no error", after)
		}
	}
	for i, exchange := range p.Exchanges() {
		if want := "HTTP/1.1 200 OK"[:i]; string(exchange.Response) != want || !exchange.Cut {
			t.Errorf("exchange %d: passed %q, cut %t; want %q, true", i, exchange.Response, exchange.Cut, want)
		}
	}
}

func TestEachExchangeOfAConnectionIsCountedAnew(t *testing.T) {
	p := cutproxy.Start(t, cutproxy.Options{Target: target(t), Plan: func(r *http.Request) *cutproxy.Cut {
		if r.URL.Path == "/cut" {
			return &cutproxy.Cut{After: 3, Body: true}
		}
		return nil
	}})
	c := client(t)
	for _, path := range []string{"/first", "/second"} {
		response, err := c.Post(p.Origins()[0]+path, "", strings.NewReader("sent "))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if string(got) != "sent "+body || err != nil {
			t.Fatalf("%s: %q, %v", path, got, err)
		}
	}
	response, err := c.Post(p.Origins()[0]+"/cut", "", strings.NewReader("sent "))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	response.Body.Close()
	if string(got) != "sen" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("cut: %q, %v; want %q, %v", got, err, "sen", syscall.ECONNRESET)
	}

	type row struct {
		Conn int
		Line string
		Body string
		Cut  bool
	}
	var rows []row
	for _, e := range p.Exchanges() {
		line, _, _ := bytes.Cut(e.Request, []byte("\r\n"))
		_, rest, _ := bytes.Cut(e.Response, []byte("\r\n\r\n"))
		rows = append(rows, row{e.Conn, string(line), string(rest), e.Cut})
	}
	want := []row{
		{1, "POST /first HTTP/1.1", "sent " + body, false},
		{1, "POST /second HTTP/1.1", "sent " + body, false},
		{1, "POST /cut HTTP/1.1", "sen", true},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("exchanges (-want +got):\n%s", diff)
	}
	if p.Connections() != 1 {
		t.Errorf("%d connections, want 1", p.Connections())
	}
}

func TestPagesOnEveryHost(t *testing.T) {
	p := cutproxy.Start(t, cutproxy.Options{Target: target(t), Pages: map[string]string{"/page": "<p>hello"}, Hosts: 3})
	if got := len(p.Origins()); got != 3 {
		t.Fatalf("%d origins, want 3", got)
	}
	for _, origin := range p.Origins() {
		response, err := client(t).Get(origin + "/page")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if string(got) != "<p>hello" || err != nil {
			t.Errorf("%s: %q, %v", origin, got, err)
		}
	}
	if got := p.Exchanges(); len(got) != 0 {
		t.Errorf("pages were recorded: %v", got)
	}
}

func TestCutAll(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(arrived)
		<-r.Context().Done() // the proxy gives up the target's side, too
	}))
	defer server.Close()
	p := cutproxy.Start(t, cutproxy.Options{Target: strings.TrimPrefix(server.URL, "http://")})
	response, err := client(t).Get(p.Origins()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	<-arrived
	p.CutAll()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want %v", err, syscall.ECONNRESET)
	}
}
