package view

import (
	"io"

	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// plainForm is frames for clients that read data lines and nothing else:
//
//	:\nretry: …\nid: …\n\n          first
//	id: …\ndata: …\n\n              each event
//	id: ….end\ndata: [DONE]\n\n     last; after an error {"error":{…}}
type plainForm struct {
	done  string
	endID func(event.Position) event.ID
}

func (*plainForm) contentType() string { return "" }

func (*plainForm) event(dst []byte, f *sse.Frame, data []byte) ([]byte, error) {
	return sse.AppendFrame(dst, f.ID, sse.EventName{}, dataOr(data, f)), nil
}

func (p *plainForm) own(dst []byte, f *sse.Frame, k kind) ([]byte, error) {
	switch k {
	case kindOpen:
		return sse.AppendPreamble(dst, f.Retry, f.ID), nil
	case kindBusy:
		return sse.AppendPreamble(dst, f.Retry, nil), io.EOF
	case kindReset, kindUndecodable:
		id := p.endID(positionOf(f.ID)).Append(nil)
		return appendPlainError(dst, id, hole(f, k).AppendStatus(nil)), io.EOF
	case kindEnd:
		status := f.Data()
		if !isOK(status) {
			return appendPlainError(dst, f.ID, status), io.EOF
		}
		if p.done != "" {
			dst = sse.AppendFrame(dst, f.ID, sse.EventName{}, []byte(p.done))
		}
		return dst, io.EOF
	default:
		return dst, nil
	}
}

func appendPlainError(dst, id, status []byte) []byte {
	data := append([]byte(`{"error":`), status...)
	return sse.AppendFrame(dst, id, sse.EventName{}, append(data, '}'))
}

// bookmark says nothing: there is no frame without data of the application.
func (*plainForm) bookmark(dst, _ []byte) []byte { return dst }

func (*plainForm) beat(dst []byte) []byte { return sse.AppendComment(dst, "") }

func (*plainForm) leave(dst []byte, reason string) ([]byte, error) {
	if reason == "" {
		return dst, io.EOF
	}
	return sse.AppendPreamble(dst, busyRetry(reason), nil), io.EOF
}

// isOK reports whether a stream.end's status is OK.
func isOK(status []byte) bool {
	code, ok := member(status, "code")
	return ok && string(code) == "0"
}
