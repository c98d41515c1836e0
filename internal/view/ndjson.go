package view

import (
	"io"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// ndjsonForm is an object a line for every frame:
//
//	{"id":"…","event":"…","data":…}\n
//
// Ids and event names have no character that JSON escapes, and data is JSON already.
type ndjsonForm struct{}

func (ndjsonForm) contentType() string { return NDJSON.ContentType() }

func (ndjsonForm) event(dst []byte, f *sse.Frame, data []byte) ([]byte, error) {
	return appendLine(dst, f.ID, f.Event, dataOr(data, f)), nil
}

func (ndjsonForm) own(dst []byte, f *sse.Frame, _ kind) ([]byte, error) {
	if !f.HasData() {
		return dst, nil
	}
	return appendLine(dst, f.ID, f.Event, f.Data()), nil
}

func (ndjsonForm) bookmark(dst, id []byte) []byte {
	return appendLine(dst, id, []byte(nameBookmark.String()), emptyData)
}

func (ndjsonForm) beat(dst []byte) []byte { return append(dst, '\n') }

func (ndjsonForm) leave(dst []byte, reason string) ([]byte, error) {
	if reason == "" {
		return dst, io.EOF
	}
	return appendLine(dst, nil, []byte(nameBusy.String()), []byte(`{"reason":"`+reason+`"}`)), io.EOF
}

func appendLine(dst, id, name, data []byte) []byte {
	dst = append(dst, '{')
	if len(id) != 0 {
		dst = append(dst, `"id":"`...)
		dst = append(dst, id...)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"event":"`...)
	dst = append(dst, name...)
	dst = append(dst, `","data":`...)
	dst = append(dst, data...)
	return append(dst, "}\n"...)
}
