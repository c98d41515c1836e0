package bridge

import (
	"log/slog"
	"net/http"
)

// NewServer is the server of the bridge's listeners, for tests.
func NewServer(h http.Handler) *http.Server {
	return (&Bridge{logger: slog.New(slog.DiscardHandler)}).server(h)
}
