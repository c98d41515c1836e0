package bridge_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// preface is what an HTTP/2 client sends first, before its settings.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// TestSlowClients: a client that sends slowly, or nothing, does not hold a connection; not even where nobody waits for
// what it sends.
func TestSlowClients(t *testing.T) {
	for name, tc := range map[string]struct {
		sent   string
		status string // "" where no answer is due
		within time.Duration
	}{
		"no head":                   {"GET / HTTP/1.1\r\nHost:", "", 5 * time.Second},
		"no body":                   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 404 ", 15 * time.Second},
		"idle":                      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", 75 * time.Second},
		"a huge header":             {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 ", 15 * time.Second},
		"part of an HTTP/2 preface": {"PRI * HTTP/2.0\r\n\r\nSM", "", 5 * time.Second},
		"no HTTP/2 settings":        {preface, "", 5 * time.Second},
		"idle HTTP/2":               {preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "", 65 * time.Second},
		"endless chunks":            {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na", "HTTP/1.1 404 ", 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := bufconn.Listen(4 << 10)
				server, err := bridge.NewServer(http.NotFoundHandler(), nil)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _ = server.Serve(ln) }()
				defer server.Close()
				conn, err := ln.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go func() { _, _ = io.WriteString(conn, tc.sent) }() // the server may end the connection before it has read all
				began := time.Now()
				reader := bufio.NewReader(conn)
				if tc.status != "" {
					line, err := reader.ReadString('\n')
					if !strings.HasPrefix(line, tc.status) {
						t.Errorf("answer %q, %v, want %s", line, err, tc.status)
					}
				}
				_, _ = io.Copy(io.Discard, reader) // to the end of the connection, however it comes
				if took := time.Since(began); took > tc.within {
					t.Errorf("the connection was held for %v, want at most %v", took, tc.within)
				}
			})
		})
	}
}
