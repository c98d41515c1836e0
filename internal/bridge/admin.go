package bridge

import (
	"fmt"
	"net/http"
	"strings"
)

// adminHandler answers /healthz (the process lives) and /readyz (send it traffic).
func (b *Bridge) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case b.draining.Load():
			say(w, http.StatusServiceUnavailable, "draining")
		case !b.catalog.complete():
			say(w, http.StatusServiceUnavailable, strings.Join(b.catalog.waitingFor(), "\n"))
		default:
			say(w, http.StatusOK, "ready")
		}
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the prober has gone
}
