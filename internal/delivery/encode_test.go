package delivery_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

var codings = []string{delivery.Gzip, delivery.Zstd, delivery.Brotli}

// decode reads what a client with the coding reads.
func decode(t testing.TB, coding string, r io.Reader) io.Reader {
	t.Helper()
	var err error
	switch coding {
	case delivery.Gzip:
		r, err = gzip.NewReader(r)
	case delivery.Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err == nil {
			t.Cleanup(d.Close)
		}
		r = d
	case delivery.Brotli:
		r = brotli.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// writes records the bytes of each write.
type writes struct {
	header http.Header
	all    [][]byte
	fail   error
}

func (w *writes) Header() http.Header { return w.header }
func (w *writes) WriteHeader(int)     {}
func (w *writes) Flush()              {}
func (w *writes) Write(b []byte) (int, error) {
	if w.fail != nil {
		return 0, w.fail
	}
	w.all = append(w.all, bytes.Clone(b))
	return len(b), nil
}

// send serves frames, each in a write of its own, and returns what went out.
func send(t testing.TB, coding string, frames [][]byte) *writes {
	t.Helper()
	src := newSource()
	src.frames, src.ended = frames, true
	o := options
	o.Encoding = coding
	w := &writes{header: make(http.Header)}
	if err := o.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), src); err != nil {
		t.Fatal(err)
	}
	if got := w.header.Get("Content-Encoding"); got != coding {
		t.Errorf("Content-Encoding %q, want %q", got, coding)
	}
	return w
}

// TestCompressionOfDemoStreams: what is read is what was written, in far fewer bytes.
func TestCompressionOfDemoStreams(t *testing.T) {
	streams := demoStreams(t)
	for _, name := range []string{"chat", "task", "prices", "feed"} {
		plain := append([]byte("opening\n\n"), bytes.Join(streams[name], nil)...)
		for _, coding := range codings {
			sent := bytes.Join(send(t, coding, streams[name]).all, nil)
			got, err := io.ReadAll(decode(t, coding, bytes.NewReader(sent)))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %s: read %d bytes, %v, want the %d that were written", name, coding, len(got), err, len(plain))
			}
			percent := 100 * len(sent) / len(plain)
			t.Logf("%-6s %-4s %4d frames, %6d bytes, %5d sent, %2d %%", name, coding, len(streams[name]), len(plain), len(sent), percent)
			if percent > 40 {
				t.Errorf("%s, %s: %d %% of the bytes are sent, want less than 40", name, coding, percent)
			}
		}
	}
}

// TestEveryWriteCanBeReadAtOnce: after each write a reader gets everything that was written so far, and a response that is
// cut does not look ended.
func TestEveryWriteCanBeReadAtOnce(t *testing.T) {
	t.Parallel()
	frames := [][]byte{[]byte("one\n\n"), bytes.Repeat([]byte("two "), 100_000), []byte("\n\n"), []byte("x")}
	for _, coding := range codings {
		sent := send(t, coding, frames).all
		if len(sent) != len(frames)+2 {
			t.Fatalf("%s: %d writes, want the opening, one for each of %d frames, and the end", coding, len(sent), len(frames))
		}
		for i := range len(sent) - 1 {
			want := append([]byte("opening\n\n"), bytes.Join(frames[:i], nil)...)
			got, err := io.ReadAll(decode(t, coding, bytes.NewReader(bytes.Join(sent[:i+1], nil))))
			if !bytes.Equal(got, want) {
				t.Errorf("%s: after %d writes %d bytes can be read, want %d", coding, i+1, len(got), len(want))
			}
			if err == nil {
				t.Errorf("%s: after %d writes the data looks ended", coding, i+1)
			}
		}
	}
}

// TestCompressorsAreUsedAgain: what one connection wrote, or failed to write, must not show in the next one's.
func TestCompressorsAreUsedAgain(t *testing.T) {
	for _, coding := range codings {
		cut(t, coding)
		first := send(t, coding, [][]byte{[]byte("secret\n\n")}).all
		second := send(t, coding, [][]byte{[]byte("secret\n\n")}).all
		if !slices.EqualFunc(first, second, bytes.Equal) {
			t.Errorf("%s: the same response is sent in other bytes", coding)
		}
	}
}

// cut serves a response that cannot be written.
func cut(t *testing.T, coding string) {
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("%s: recovered %v", coding, err)
		}
	}()
	o := options
	o.Encoding = coding
	w := &writes{header: make(http.Header), fail: errors.New("broken")}
	_ = o.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), newSource())
}

func TestUnknownCoding(t *testing.T) {
	t.Parallel()
	o := options
	o.Encoding = "deflate"
	w := &writes{header: make(http.Header)}
	if err := o.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), newSource()); err == nil {
		t.Error("served")
	}
}

// BenchmarkCompression writes events of 200 bytes, one at a time, and reports the memory that a connection holds.
func BenchmarkCompression(b *testing.B) {
	frame := func(i int) []byte {
		at := time.Unix(1_800_000_000, int64(i)*123_456_789).UTC().Format(time.RFC3339Nano)
		return []byte("id: 1800000000000000.0123456789abcdef\nevent: price\ndata: {\"symbol\":\"ACME\",\"name\":\"Acme Corporation\"," +
			"\"price\":132.4,\"changePercent\":0.25,\"time\":\"" + at + "\"}\n\n")
	}
	for _, coding := range append([]string{""}, codings...) {
		b.Run("coding="+coding, func(b *testing.B) {
			src := &endless{frame: frame, left: b.N}
			o := options
			o.Encoding = coding
			w := &discard{writes: writes{header: make(http.Header)}}
			src.last = func() {
				b.StopTimer()
				b.ReportMetric(float64(w.n)/float64(b.N), "sent-B/op")
				b.ReportMetric(heldBy(coding), "held-B/conn")
				b.StartTimer()
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := o.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), src); err != nil {
				b.Fatal(err)
			}
		})
	}
}

type discard struct {
	writes
	n int
}

func (d *discard) Write(b []byte) (int, error) {
	d.n += len(b)
	return len(b), nil
}

// endless is a source of many frames.
type endless struct {
	source
	frame func(int) []byte
	left  int
	last  func()
}

func (e *endless) Opening(dst []byte, _ time.Duration) []byte { return dst }
func (e *endless) Written()                                   {}
func (e *endless) Next(int) ([]byte, error) {
	if e.left == 0 {
		if e.last != nil {
			e.last()
		}
		return nil, io.EOF
	}
	e.left--
	return e.frame(e.left), nil
}

// heldBy is the memory of one connection among 16 that are open at once, after 300 events.
func heldBy(coding string) float64 {
	const connections = 16
	heap := func() float64 {
		runtime.GC()
		runtime.GC() // pools keep what they hold for one more
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	release := make(chan struct{})
	ready, done := make(chan struct{}), make(chan struct{})
	for range connections {
		go func() {
			src := &endless{frame: func(i int) []byte { return []byte("data: " + time.Duration(i*12_345_678).String() + "\n\n") }, left: 300}
			src.last = func() { ready <- struct{}{}; <-release }
			o := options
			o.Encoding = coding
			_ = o.serve(&discard{writes: writes{header: make(http.Header)}}, httptest.NewRequest(http.MethodGet, "/", nil), src)
			done <- struct{}{}
		}()
	}
	for range connections {
		<-ready
	}
	held := (heap() - before) / connections
	close(release)
	for range connections {
		<-done
	}
	return held
}
