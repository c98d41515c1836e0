package edge_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/grpc-sse/grpc-sse/internal/edge"
)

func TestBodiesThatCannotBeRead(t *testing.T) {
	broken := &net.OpError{Op: "read", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8080}, Err: errors.New("reset")}
	late := &net.OpError{Op: "read", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8080}, Err: os.ErrDeadlineExceeded}
	for name, tc := range map[string]struct {
		body   io.Reader
		status int
	}{
		"too large": {strings.NewReader("12345"), 413},
		"broken":    {iotest.ErrReader(broken), 400},
		"too slow":  {iotest.ErrReader(late), 408},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", tc.body)
		_, status, err := edge.ReadBody(httptest.NewRecorder(), r, 4)
		if status != tc.status || err == nil || strings.Contains(err.Error(), "10.1.2.3") {
			t.Errorf("%s: %d, %v, want %d and no address", name, status, err, tc.status)
		}
	}
}

// TestSlowBody: a client that does not send its body gets an answer all the same, and its connection ends; one that has
// sent it, or has none, is not cut off later.
func TestSlowBody(t *testing.T) {
	for name, tc := range map[string]struct {
		request, status string
	}{
		"late": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{", "HTTP/1.1 408 "},
		"sent": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}", "HTTP/1.1 204 "},
		"none": {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 204 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := bufconn.Listen(4 << 10)
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, status, err := edge.ReadBody(w, r, 100); err != nil {
						w.WriteHeader(status)
						return
					}
					time.Sleep(time.Hour)
					if r.Context().Err() != nil {
						t.Error("the request was cut off")
					}
					w.WriteHeader(http.StatusNoContent)
				})}
				go func() { _ = server.Serve(ln) }()
				defer server.Close()
				conn, err := ln.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, tc.request); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				line, err := bufio.NewReader(conn).ReadString('\n')
				if !strings.HasPrefix(line, tc.status) {
					t.Errorf("answer %q, %v, want %s", line, err, tc.status)
				}
				if took := time.Since(began); took > time.Hour {
					t.Errorf("answered after %v", took)
				}
			})
		})
	}
}
