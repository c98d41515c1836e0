package tail_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

// TestRawBytes: bytes that are no UTF-8 must not reach the terminal either: 0x9b is what ESC [ is on one of eight bits.
func TestRawBytes(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Retry-After", "\x9b31m")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("no\x9b2Jsuch"))
	}))
	defer s.Close()
	_, err := tail.Run(t.Context(), tail.Options{URL: s.URL})
	if err == nil || strings.Contains(err.Error(), "\x9b") {
		t.Errorf("%q", err)
	}
}
