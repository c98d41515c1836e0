package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// The bridge's own endpoints.
const (
	// cancelPath is where a client stops its call: disconnecting does not.
	cancelPath = "/sse.cancel"
	// ackPath is where a client says how far it has come that has its cursor kept here.
	ackPath = "/sse.ack"
)

// maxOwnBody bounds the bodies of the bridge's own endpoints.
const maxOwnBody = 4 << 10

// serveCancel answers POST /sse.cancel {"id": "…"} with 204, whether the call still ran or not.
func (e *Edge) serveCancel(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ID string `json:"id"`
	}
	if !readOwn(w, r, &body, `{"id": "…"}, with the last event id of the stream to stop`) {
		return
	}
	id, ok := parseID(w, body.ID)
	if !ok {
		return
	}
	if e.Feed.Cancel(e.Principals.Of(r), id) {
		outcome.Problem{
			Status: http.StatusConflict, Code: codes.FailedPrecondition,
			Detail: "the id is of a call that others read too; nobody can cancel it: close the connection",
		}.Write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// serveAck answers POST /sse.ack {"client_id": "…", "id": "…"} with 204: the client's cursor is at id now, or was there
// before.
func (e *Edge) serveAck(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Client string `json:"client_id"`
		ID     string `json:"id"`
	}
	const shape = `{"client_id": "…", "id": "…"}, with the client's sse.client_id and the id of the last event it is done with`
	if !readOwn(w, r, &body, shape) {
		return
	}
	id, ok := parseID(w, body.ID)
	if !ok {
		return
	}
	err := e.Feed.Ack(e.Principals.Of(r), body.Client, id)
	if errors.Is(err, feed.ErrUnknownAck) {
		outcome.Problem{
			Status: http.StatusNotFound, Code: codes.NotFound,
			Detail: "this client reads no stream that the id is of, or the stream is no longer kept",
		}.Write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// readOwn reads the JSON body of a POST to one of the bridge's own endpoints. It answers by itself and returns false
// where that cannot be.
func readOwn(w http.ResponseWriter, r *http.Request, into any, shape string) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		outcome.Problem{Status: http.StatusMethodNotAllowed, Detail: r.URL.Path + " takes POST"}.Write(w)
		return false
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != typeJSON {
		outcome.Problem{Status: http.StatusUnsupportedMediaType, Detail: r.URL.Path + " takes " + typeJSON}.Write(w)
		return false
	}
	body, status, err := readBody(w, r, maxOwnBody)
	if err != nil {
		outcome.Problem{Status: status, Code: codes.InvalidArgument, Detail: err.Error()}.Write(w)
		return false
	}
	if !decodeOwn(body, into) {
		outcome.Problem{Status: http.StatusBadRequest, Code: codes.InvalidArgument, Detail: "the body must be " + shape}.Write(w)
		return false
	}
	return true
}

// decodeOwn reads one JSON object with no other fields than those of into.
func decodeOwn(body []byte, into any) bool {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if decoder.Decode(into) != nil {
		return false
	}
	_, err := decoder.Token() // not More, which takes a closing bracket for an end
	return errors.Is(err, io.EOF)
}

func parseID(w http.ResponseWriter, text string) (event.ID, bool) {
	id, ok := event.Parse(text)
	if !ok {
		outcome.Problem{
			Status: http.StatusBadRequest, Code: codes.InvalidArgument,
			Detail: `"id" must be an id that this bridge gave, as it stands in an event's lastEventId`,
		}.Write(w)
	}
	return id, ok
}
