package view

import (
	"io"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// jsonForm is what grpc-gateway writes for a stream:
//
//	{"result":…}\n                                    each event
//	{"error":{"code":5,"message":"…","details":[]}}\n  last, unless the call ended well
type jsonForm struct{}

func (jsonForm) contentType() string { return JSON.ContentType() }

func (jsonForm) event(dst []byte, f *sse.Frame, data []byte) ([]byte, error) {
	dst = append(dst, `{"result":`...)
	dst = append(dst, dataOr(data, f)...)
	return append(dst, "}\n"...), nil
}

func (jsonForm) own(dst []byte, f *sse.Frame, k kind) ([]byte, error) {
	switch k {
	case kindReset, kindUndecodable:
		return appendJSONError(dst, hole(f, k).AppendStatus(nil)), io.EOF
	case kindBusy:
		return appendJSONError(dst, left(text(f.Data(), "reason")).AppendStatus(nil)), io.EOF
	case kindEnd:
		if status := f.Data(); !isOK(status) {
			dst = appendJSONError(dst, status)
		}
		return dst, io.EOF
	default:
		return dst, nil
	}
}

// bookmark says nothing: there are no ids.
func (jsonForm) bookmark(dst, _ []byte) []byte { return dst }

func (jsonForm) beat(dst []byte) []byte { return append(dst, '\n') }

func (jsonForm) leave(dst []byte, reason string) ([]byte, error) {
	return appendJSONError(dst, left(reason).AppendStatus(nil)), io.EOF
}

// appendJSONError appends the last line. grpc-gateway writes a google.rpc.Status with its empty fields and without the
// code's name.
func appendJSONError(dst, status []byte) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = append(dst, memberOr(status, "code", "2")...)
	dst = append(dst, `,"message":`...)
	dst = append(dst, memberOr(status, "message", `""`)...)
	dst = append(dst, `,"details":`...)
	dst = append(dst, memberOr(status, "details", "[]")...)
	return append(dst, "}}\n"...)
}
