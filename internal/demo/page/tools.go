package page

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

const (
	wireHeartbeat = 10 * time.Second
	wireRetry     = time.Second
)

// serveWire streams what passes between one page and the bridge, as events of its own: open-connection, head, bytes,
// close-connection. The tap's name comes in the query.
func (p *Page) serveWire(w http.ResponseWriter, r *http.Request) {
	t := p.taps.get(r.URL.Query().Get("tap"))
	if t == nil {
		http.Error(w, "tap: 8 to 32 letters and digits that name the page", http.StatusBadRequest)
		return
	}
	last, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64) // none, or not a number: from the beginning
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	heartbeat := time.NewTicker(wireHeartbeat)
	defer heartbeat.Stop()
	frames := sse.AppendRetryFrame(nil, wireRetry, sse.MustEventName("ready"), []byte("{}"))
	for {
		records, number, changed := t.after(last)
		for _, record := range records {
			frames = sse.AppendFrame(frames, strconv.AppendInt(nil, number, 10), record.name, record.data)
			last = number
			number++
		}
		if _, err := w.Write(frames); err != nil || out.Flush() != nil {
			return
		}
		frames = frames[:0]
		select {
		case <-changed:
		case <-heartbeat.C:
			frames = sse.AppendComment(frames, "")
		case <-r.Context().Done():
			return
		case <-p.ended.Done():
			return
		}
	}
}

// serveCut cuts the connections of one run of one page: {"tap": …, "run": …}. It answers how many there were; they are
// cut in the middle of their next frame, or after a moment without one.
func (p *Page) serveCut(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Tap, Run string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1024)).Decode(&ask); err != nil {
		http.Error(w, `the body must be {"tap": …, "run": …}`, http.StatusBadRequest)
		return
	}
	t := p.taps.get(ask.Tap)
	if t == nil {
		http.Error(w, "tap: 8 to 32 letters and digits that name the page", http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]int{"connections": t.cut(ask.Run)})
}
