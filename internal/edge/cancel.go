package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// cancelPath is where a client stops its call: disconnecting does not.
const cancelPath = "/sse.cancel"

// maxOwnBody bounds the bodies of the bridge's own endpoints.
const maxOwnBody = 4 << 10

// serveCancel answers POST /sse.cancel {"id": "…"} with 204, whether the call still ran or not.
func (e *Edge) serveCancel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		outcome.Problem{Status: http.StatusMethodNotAllowed, Detail: cancelPath + " takes POST"}.Write(w)
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != typeJSON {
		outcome.Problem{Status: http.StatusUnsupportedMediaType, Detail: cancelPath + " takes " + typeJSON}.Write(w)
		return
	}
	body, status, err := readBody(w, r, maxOwnBody)
	if err != nil {
		outcome.Problem{Status: status, Code: codes.InvalidArgument, Detail: err.Error()}.Write(w)
		return
	}
	id, err := readCancel(body)
	if err != nil {
		outcome.Problem{Status: http.StatusBadRequest, Code: codes.InvalidArgument, Detail: err.Error()}.Write(w)
		return
	}
	e.Feed.Cancel(e.Principals.Of(r), id)
	w.WriteHeader(http.StatusNoContent)
}

func readCancel(body []byte) (event.ID, error) {
	var fields struct {
		ID string `json:"id"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fields); err != nil || decoder.More() {
		return event.ID{}, errors.New(`the body must be {"id": "…"}, with the last event id of the stream to stop`)
	}
	id, ok := event.Parse(fields.ID)
	if !ok {
		return event.ID{}, errors.New(`"id" must be an id that this bridge gave, as it stands in an event's lastEventId`)
	}
	return id, nil
}
