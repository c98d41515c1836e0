package delivery_test

import (
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// listen is a listener as the bridge has it.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := delivery.Listen(t.Context(), "127.0.0.1:0", 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// listenAs has the server listen as the bridge does.
func listenAs(t *testing.T, server *httptest.Server) {
	t.Helper()
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listen(t)
}
