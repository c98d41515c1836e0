package view

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// rawForm is the bytes of google.api.HttpBody messages, one after another. It has no room for anything else: whatever is
// not a good end cuts the response.
type rawForm struct{ first string }

const anyBytes = "application/octet-stream"

// MediaType is the type that a google.api.HttpBody says it has. What is none is not passed on, since browsers would guess,
// nor what has control characters, which cannot be in a header: such bytes are application/octet-stream.
func MediaType(said string) string {
	if _, _, err := mime.ParseMediaType(said); err != nil || strings.ContainsFunc(said, unicode.IsControl) {
		return anyBytes
	}
	return said
}

func (r *rawForm) contentType() string { return r.first }

func (r *rawForm) event(dst []byte, f *sse.Frame, data []byte) ([]byte, error) {
	data = dataOr(data, f)
	if r.first == "" {
		r.first = MediaType(text(data, "contentType"))
	}
	encoded, ok := member(data, "data")
	if !ok {
		return dst, nil
	}
	if len(encoded) < 2 || encoded[0] != '"' {
		return dst, fmt.Errorf("%w: data is not google.api.HttpBody", errCut)
	}
	out, err := base64.StdEncoding.AppendDecode(dst, encoded[1:len(encoded)-1])
	if err != nil {
		return dst, fmt.Errorf("%w: data is not google.api.HttpBody: %w", errCut, err)
	}
	return out, nil
}

func (*rawForm) own(dst []byte, f *sse.Frame, k kind) ([]byte, error) {
	switch k {
	case kindReset, kindUndecodable, kindBusy:
		return dst, errCut
	case kindEnd:
		if !isOK(f.Data()) {
			return dst, errCut
		}
		return dst, io.EOF
	default:
		return dst, nil
	}
}

func (*rawForm) bookmark(dst, _ []byte) []byte { return dst }

func (*rawForm) beat(dst []byte) []byte { return dst }

func (*rawForm) leave(dst []byte, _ string) ([]byte, error) { return dst, errCut }
