package upstream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/upstream"
)

// TestUnreadableMessages: the backend says OK, but its last message is cut off, or cannot be read. What is said about that is
// made in this process, whether the trailers were there already or not, and the same call would bring the same.
func TestUnreadableMessages(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		late bool
	}{
		"cut off":                       {"\x00\x00\x00\x00\x09abc", false},
		"compressed":                    {"\x01\x00\x00\x00\x03abc", false},
		"compressed, before the status": {"\x01\x00\x00\x00\x03abc", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Trailer", "Grpc-Status")
				_, _ = io.WriteString(w, c.body)
				w.(http.Flusher).Flush()
				if c.late {
					<-q.Context().Done() // the client has given up
				}
				w.Header().Set("Grpc-Status", "0")
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			u, err := upstream.New(upstream.Options{Target: s.Listener.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			r := read(t.Context(), u, upstream.Call{})
			if r.end.Class != outcome.Permanent || r.end.Status.Message() != "the connection to the backend was lost" {
				t.Errorf("class %v, clients read %q", r.end.Class, r.end.Status.Message())
			}
			_ = u.Close()
			s.CloseClientConnections()
			s.Close()
		})
	}
}
