package sse_test

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// message is an event of the default type, without id or delay.
func message(data string) sse.Event {
	return sse.Event{Type: "message", Data: data, Retry: sse.NoRetry}
}

func withID(e sse.Event, id string) sse.Event {
	e.ID, e.HasID = id, true
	return e
}

func TestParser(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		stream string
		want   []sse.Event
		lastID string
		retry  time.Duration
	}{
		{name: "empty"},
		{name: "one", stream: "data: a\n\n", want: []sse.Event{message("a")}},
		{name: "only one space goes", stream: "data:a\n\ndata:  b\n\n", want: []sse.Event{message("a"), message(" b")}},
		{name: "lines are joined", stream: "data: a\ndata\ndata: b\n\n", want: []sse.Event{message("a\n\nb")}},
		{name: "field without colon", stream: "data\n\ndata\ndata\n\n", want: []sse.Event{message(""), message("\n")}},
		{name: "CR", stream: "data: a\rdata: b\r\r", want: []sse.Event{message("a\nb")}},
		{name: "CRLF", stream: "data: a\r\n\r\ndata: b\r\n\r\n", want: []sse.Event{message("a"), message("b")}},
		{name: "CRLF inside a block", stream: "data: a\r\ndata: b\r\n\r\n", want: []sse.Event{message("a\nb")}},
		{name: "mixed ends", stream: "data: a\r\n\ndata: b\n\rdata: c\r\r\n", want: []sse.Event{message("a"), message("b"), message("c")}},
		{name: "byte order mark", stream: "\uFEFFdata: a\n\n", want: []sse.Event{message("a")}},
		{name: "only the first mark goes", stream: "\uFEFF\uFEFFdata: a\n\ndata: b\n\n", want: []sse.Event{message("b")}},
		{name: "comments", stream: ": hi\n:\n\ndata: a\n:x\n\n", want: []sse.Event{message("a")}},
		{name: "unfinished block", stream: "data: a\n\ndata: b\nid: 9\n", want: []sse.Event{message("a")}},
		{name: "unfinished line", stream: "data: a\n\ndata: b", want: []sse.Event{message("a")}},
		{name: "unknown and miscased fields", stream: "Data: x\n data: y\nfoo: z\ndata: a\n\n", want: []sse.Event{message("a")}},
		{name: "NUL in data", stream: "data: a\x00b\n\n", want: []sse.Event{message("a\x00b")}},
		{
			name: "type is for one event", stream: "event: x\ndata: a\n\ndata: b\n\n",
			want: []sse.Event{{Type: "x", Data: "a", Retry: sse.NoRetry}, message("b")},
		},
		{name: "type of a block without data is dropped", stream: "event: x\n\ndata: a\n\n", want: []sse.Event{message("a")}},
		{name: "the last type counts", stream: "event: x\nevent:\ndata: a\n\n", want: []sse.Event{message("a")}},
		{
			name: "id stays", stream: "id: 1\ndata: a\n\ndata: b\n\n", lastID: "1",
			want: []sse.Event{withID(message("a"), "1"), {ID: "1", Type: "message", Data: "b", Retry: sse.NoRetry}},
		},
		{name: "empty id takes it back", stream: "id: 1\ndata: a\n\nid\ndata: b\n\n", want: []sse.Event{withID(message("a"), "1"), withID(message("b"), "")}},
		{name: "id with NUL is ignored", stream: "id: 1\nid: 2\x003\ndata: a\n\n", lastID: "1", want: []sse.Event{withID(message("a"), "1")}},
		{name: "id alone is committed", stream: "id: 5\n\n", lastID: "5"},
		{name: "id of an unfinished block is not", stream: "id: 5\n\nid: 6\ndata: x\n", lastID: "5"},
		{
			name: "delay", stream: "retry: 1500\ndata: a\n\ndata: b\n\n", retry: 1500 * time.Millisecond,
			want: []sse.Event{{Type: "message", Data: "a", Retry: 1500 * time.Millisecond}, message("b")},
		},
		{name: "delays that are none", stream: "retry: 7\nretry: 1.5\nretry: -1\nretry:\nretry: 0x1\nretry:  9\nretry: ٣\n", retry: 7 * time.Millisecond},
		{name: "delay beyond a Duration", stream: "retry: 99999999999999999999\n\n", retry: math.MaxInt64 / time.Millisecond * time.Millisecond},
		{name: "broken UTF-8", stream: "data: \xE2\x82|\xFF|\xF0\x90\x80|\xC0\xAF|\xED\xA0\x80\n\n", want: []sse.Event{message("\uFFFD|\uFFFD|\uFFFD|\uFFFD\uFFFD|\uFFFD\uFFFD\uFFFD")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.retry == 0 {
				test.retry = sse.NoRetry
			}
			readers := map[string]io.Reader{
				"whole": strings.NewReader(test.stream), "byte by byte": iotest.OneByteReader(strings.NewReader(test.stream)),
				"error with bytes": iotest.DataErrReader(strings.NewReader(test.stream)),
			}
			for name, r := range readers {
				p := sse.NewParser(r, 0)
				got, err := readAll(p)
				if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, io.EOF) {
					t.Errorf("%s: error %v, want EOF; events (-want +got):\n%s", name, err, diff)
				}
				if p.LastEventID() != test.lastID || p.Retry() != test.retry {
					t.Errorf("%s: last id %q, retry %v; want %q, %v", name, p.LastEventID(), p.Retry(), test.lastID, test.retry)
				}
			}
		})
	}
}

func readAll(p *sse.Parser) ([]sse.Event, error) {
	var events []sse.Event
	for {
		e, err := p.Next()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// An event must not wait for the byte behind it, whichever line ends the server uses.
func TestParserDoesNotReadAhead(t *testing.T) {
	t.Parallel()
	late := errors.New("read past the event's end")
	for _, end := range []string{"\n", "\r", "\r\n"} {
		stream := io.MultiReader(iotest.OneByteReader(strings.NewReader("data: a"+end+end[:1])), iotest.ErrReader(late))
		if end == "\r\n" { // the CR of the empty line is enough
			stream = io.MultiReader(strings.NewReader("data: a\r\n\r"), iotest.ErrReader(late))
		}
		if e, err := sse.NewParser(stream, 0).Next(); err != nil || e.Data != "a" {
			t.Errorf("line end %q: %+v, %v; want the event", end, e, err)
		}
	}
}

func TestParserResume(t *testing.T) {
	t.Parallel()
	p := sse.NewParser(strings.NewReader("data: a\n\nid: 9\ndata: b\n\n"), 0)
	p.Resume("8")
	if got := p.LastEventID(); got != "8" {
		t.Errorf("before the first event: %q, want 8", got)
	}
	got, _ := readAll(p)
	want := []sse.Event{{ID: "8", Type: "message", Data: "a", Retry: sse.NoRetry}, withID(message("b"), "9")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestParserComments(t *testing.T) {
	t.Parallel()
	p := sse.NewParser(strings.NewReader(":\n: a\n:b\ndata: x\n\n:  c\n"), 0)
	var got []string
	p.OnComment = func(text string) { got = append(got, text) }
	if _, err := readAll(p); !errors.Is(err, io.EOF) {
		t.Fatalf("error %v, want EOF", err)
	}
	if diff := cmp.Diff([]string{"", "a", "b", " c"}, got); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
}

func TestParserLimit(t *testing.T) {
	t.Parallel()
	endless := func(line string) io.Reader { return io.LimitReader(repeat(line), 1<<20) }
	tests := []struct {
		name   string
		stream io.Reader
		events int
		want   error
	}{
		{"a line that fits", strings.NewReader("data:" + strings.Repeat("x", 95) + "\n\n"), 1, io.EOF},
		{"a mark is not counted", strings.NewReader("\uFEFFdata:" + strings.Repeat("x", 95) + "\n\n"), 1, io.EOF},
		{"a line too long", strings.NewReader("data:" + strings.Repeat("x", 96) + "\n\n"), 0, sse.ErrTooLarge},
		{"a comment too long", strings.NewReader("data:a\n\n:" + strings.Repeat("x", 100) + "\n\n"), 1, sse.ErrTooLarge},
		{"a line without end", endless("x"), 0, sse.ErrTooLarge},
		{"lines without end", endless("data:x\n"), 0, sse.ErrTooLarge},
		{"each event counts for itself", io.LimitReader(repeat("data:12345678\n\n"), 15*1000), 1000, io.EOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events, err := readAll(sse.NewParser(test.stream, 100))
			if len(events) != test.events || !errors.Is(err, test.want) {
				t.Errorf("%d events, then %v; want %d, then %v", len(events), err, test.events, test.want)
			}
		})
	}
}

// repeat is a reader of s, over and over.
func repeat(s string) io.Reader { return &repeater{s: s} }

type repeater struct {
	s  string
	at int
}

func (r *repeater) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = r.s[r.at]
		r.at = (r.at + 1) % len(r.s)
	}
	return len(b), nil
}
