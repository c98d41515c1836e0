package delivery

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// Content codings that Serve can apply.
const (
	Gzip   = "gzip"
	Zstd   = "zstd"
	Brotli = "br"
)

// encoder is a compressor that can be used again after Reset.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encode compresses what is written to out. Each write ends on a flush, so that it can be read at once.
func encode(out stream, coding string) (stream, error) {
	switch coding {
	case "":
		return out, nil
	case Gzip:
		return newEncoded(out, gzip.NewWriter(nil)), nil
	default:
		return nil, fmt.Errorf("delivery: no content coding %q", coding)
	}
}

type encoded struct {
	stream
	encoder encoder
	buf     bytes.Buffer
}

func newEncoded(out stream, e encoder) *encoded {
	s := &encoded{stream: out, encoder: e}
	e.Reset(&s.buf)
	return s
}

func (s *encoded) start(body []byte) error { return s.stream.start(s.encoded(body)) }

func (s *encoded) write(b []byte) error { return s.stream.write(s.encoded(b)) }

func (s *encoded) encoded(b []byte) []byte {
	s.buf.Reset()
	_, _ = s.encoder.Write(b)
	_ = s.encoder.Flush()
	return s.buf.Bytes()
}
