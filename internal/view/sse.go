package view

import (
	"io"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

var (
	nameBookmark = sse.MustEventName("stream.bookmark")
	nameBusy     = sse.MustEventName("stream.busy")
)

// emptyData is the data of what has none.
var emptyData = []byte("{}")

// sseForm is typed frames, as the stream has them.
type sseForm struct{}

func (sseForm) contentType() string { return "" }

func (sseForm) event(dst []byte, f *sse.Frame, data []byte) ([]byte, error) {
	if data == nil {
		return append(dst, f.Raw...), nil
	}
	dst = append(dst, "id: "...)
	dst = append(dst, f.ID...)
	dst = append(dst, "\nevent: "...)
	dst = append(dst, f.Event...)
	return appendData(append(dst, '\n'), data), nil
}

// appendData ends a frame with its data, which is one line.
func appendData(dst, data []byte) []byte { return sse.AppendFrame(dst, nil, sse.EventName{}, data) }

func (sseForm) own(dst []byte, f *sse.Frame, _ kind) ([]byte, error) {
	return append(dst, f.Raw...), nil
}

func (sseForm) bookmark(dst, id []byte) []byte {
	return sse.AppendFrame(dst, id, nameBookmark, emptyData)
}

func (sseForm) beat(dst []byte) []byte { return sse.AppendComment(dst, "") }

func (sseForm) leave(dst []byte, reason string) ([]byte, error) {
	if reason == "" {
		return dst, io.EOF
	}
	return sse.AppendRetryFrame(dst, busyRetry(reason), nameBusy, []byte(`{"reason":"`+reason+`"}`)), io.EOF
}
