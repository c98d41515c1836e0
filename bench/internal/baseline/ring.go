package baseline

import (
	"net/http"
	"sync"
)

// NewRing has one record of finished events that all readers of a stream share; a reader is a position in it, and takes
// everything behind it in one write. The record is kept whole. POST /pub/STREAM, GET /sub/STREAM with ?from=first to
// begin with the oldest event.
func NewRing() http.Handler {
	r := &ring{streams: make(map[string]*record)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pub/{stream}", r.publish)
	mux.HandleFunc("GET /sub/{stream}", r.subscribe)
	return mux
}

type ring struct {
	mu      sync.Mutex
	streams map[string]*record
}

// record is one stream's events, back to back. Bytes that are there never change.
type record struct {
	mu     sync.Mutex
	events []byte
	more   chan struct{} // closed when events grows, then made anew
}

func (r *ring) stream(name string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.streams[name]
	if found == nil {
		found = &record{more: make(chan struct{})}
		r.streams[name] = found
	}
	return found
}

func (r *ring) publish(w http.ResponseWriter, request *http.Request) {
	event, ok := frame(w, request)
	if !ok {
		return
	}
	r.stream(request.PathValue("stream")).add(event)
	w.WriteHeader(http.StatusNoContent)
}

func (s *record) add(event []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event...)
	close(s.more)
	s.more = make(chan struct{})
}

// after is what stands behind a position, and what is closed when there is more.
func (s *record) after(position int) (events []byte, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[position:], s.more
}

func (r *ring) subscribe(w http.ResponseWriter, request *http.Request) {
	stream := r.stream(request.PathValue("stream"))
	position := 0
	if request.FormValue("from") != "first" {
		all, _ := stream.after(0)
		position = len(all)
	}
	flush := begin(w)
	for flush() == nil {
		events, more := stream.after(position)
		for len(events) == 0 {
			select {
			case <-more:
			case <-request.Context().Done():
				return
			}
			events, more = stream.after(position)
		}
		if _, err := w.Write(events); err != nil {
			return
		}
		position += len(events)
	}
}
