package baseline

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// queued is how many events a reader of NewChannels may be behind before the publisher waits for it.
const queued = 64

// NewChannels has a channel for each reader and flushes after each event: the way that tutorials show. Nothing is
// dropped: a publisher waits for the slowest reader. POST /pub/STREAM, GET /sub/STREAM.
func NewChannels() http.Handler {
	c := &channels{streams: make(map[string]map[*reader]struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pub/{stream}", c.publish)
	mux.HandleFunc("GET /sub/{stream}", c.subscribe)
	return mux
}

type channels struct {
	mu      sync.Mutex // held while an event is handed to all, so that all get events in one order
	streams map[string]map[*reader]struct{}
}

type reader struct {
	events chan []byte
	gone   context.Context
}

func (c *channels) publish(w http.ResponseWriter, r *http.Request) {
	event, ok := frame(w, r)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for to := range c.streams[r.PathValue("stream")] {
		select {
		case to.events <- event:
		case <-to.gone.Done():
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *channels) subscribe(w http.ResponseWriter, r *http.Request) {
	stream := r.PathValue("stream")
	me := &reader{events: make(chan []byte, queued), gone: r.Context()}
	c.mu.Lock()
	if c.streams[stream] == nil {
		c.streams[stream] = make(map[*reader]struct{})
	}
	c.streams[stream][me] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams[stream], me)
	}()
	flush := begin(w)
	for flush() == nil {
		select {
		case event := <-me.events:
			if _, err := w.Write(event); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// begin writes the head of a stream's response. What it returns sends what was written.
func begin(w http.ResponseWriter) (flush func() error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	return http.NewResponseController(w).Flush
}

// frame makes an event of a request's body.
func frame(w http.ResponseWriter, r *http.Request) (event []byte, ok bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, false
	}
	event = append(make([]byte, 0, len("data: ")+len(body)+len("\n\n")), "data: "...)
	return append(append(event, body...), "\n\n"...), true
}
