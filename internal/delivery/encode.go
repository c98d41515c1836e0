package delivery

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Content codings that Serve can apply.
const (
	Gzip   = "gzip"
	Zstd   = "zstd"
	Brotli = "br"
)

// Settings chosen by measuring (TestCompressionOfDemoStreams, BenchmarkCompression): every connection holds a compressor
// with its window for as long as it lives, so that memory counts more than the last per cent. What does not do: brotli
// below quality 2 and the fast levels of klauspost's gzip look at each flush by itself, and make small frames larger.
const (
	gzipLevel     = 3        // of the standard library's: 800 KB
	zstdWindow    = 32 << 10 // with SpeedFastest: 490 KB
	brotliQuality = 3        // 330 KB
	brotliWindow  = 14       // 16 KiB
)

// encoder is a compressor that can be used again after Reset.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encoders are compressors that nobody uses: making one costs more than a short response.
var encoders = map[string]*sync.Pool{
	Gzip: {New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzipLevel)
		return must(w, err)
	}},
	Zstd: {New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow))
		return must(w, err)
	}},
	Brotli: {New: func() any {
		return encoder(brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliQuality, LGWin: brotliWindow}))
	}},
}

// must is w: the settings above are constants.
func must(w encoder, err error) encoder {
	if err != nil {
		panic("delivery: " + err.Error())
	}
	return w
}

// encode compresses what is written to out. Each write ends on a flush, so that it can be read at once.
func encode(out stream, coding string) (stream, error) {
	if coding == "" {
		return out, nil
	}
	pool := encoders[coding]
	if pool == nil {
		return nil, fmt.Errorf("delivery: no content coding %q", coding)
	}
	e := &encoded{stream: out, pool: pool, encoder: pool.Get().(encoder)}
	e.encoder.Reset(&e.buf)
	return e, nil
}

// encoded is a stream whose body is compressed.
type encoded struct {
	stream
	pool    *sync.Pool
	encoder encoder
	buf     bytes.Buffer
}

func (e *encoded) start(body []byte) error {
	b, err := e.compressed(body)
	if err != nil {
		return err
	}
	return e.stream.start(b)
}

func (e *encoded) write(b []byte) error {
	b, err := e.compressed(b)
	if err != nil {
		return err
	}
	return e.stream.write(b)
}

func (e *encoded) compressed(b []byte) ([]byte, error) {
	e.trim()
	_, err := e.encoder.Write(b)
	if err == nil {
		err = e.encoder.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: compressing: %w", err)
	}
	return e.buf.Bytes(), nil
}

// maxEncoded is how large the buffer may be to be kept.
const maxEncoded = 64 << 10

func (e *encoded) trim() {
	if e.buf.Cap() > maxEncoded {
		e.buf = bytes.Buffer{}
	}
	e.buf.Reset()
}

// close ends the compressed data only where the response ends: what is cut must look cut.
func (e *encoded) close(cleanly bool) {
	if cleanly {
		e.trim()
		cleanly = e.encoder.Close() == nil && e.stream.write(e.buf.Bytes()) == nil
	}
	e.encoder.Reset(nil)
	e.pool.Put(e.encoder)
	e.encoder = nil
	e.stream.close(cleanly)
}
