package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

func TestAppendFrame(t *testing.T) {
	t.Parallel()
	price := sse.MustEventName("price")
	tests := []struct {
		name      string
		id        string
		eventName sse.EventName
		data      string
		want      string
	}{
		{"all fields", "7.abc", price, `{"a":1}`, "id: 7.abc\nevent: price\ndata: {\"a\":1}\n\n"},
		{"no id", "", price, "x", "event: price\ndata: x\n\n"},
		{"no event", "7.abc", sse.EventName{}, "x", "id: 7.abc\ndata: x\n\n"},
		{"no data: still dispatched", "7.abc", sse.EventName{}, "", "id: 7.abc\ndata: \n\n"},
		{"id with LF left out", "7\ndata: x", price, "x", "event: price\ndata: x\n\n"},
		{"id with CR left out", "7\rdata: x", price, "x", "event: price\ndata: x\n\n"},
		{"id with NUL left out", "7\x00", price, "x", "event: price\ndata: x\n\n"},
		{"LF", "", sse.EventName{}, "a\nb", "data: a\ndata: b\n\n"},
		{"CR", "", sse.EventName{}, "a\rb", "data: a\ndata: b\n\n"},
		{"CRLF is one", "", sse.EventName{}, "a\r\nb", "data: a\ndata: b\n\n"},
		{"LF CR are two", "", sse.EventName{}, "a\n\rb", "data: a\ndata: \ndata: b\n\n"},
		{"CR at the end", "", sse.EventName{}, "a\r", "data: a\ndata: \n\n"},
		{"two line ends cannot end the frame", "", sse.EventName{}, "a\n\nid: 9", "data: a\ndata: \ndata: id: 9\n\n"},
		{"leading space kept", "", sse.EventName{}, " a", "data:  a\n\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := sse.AppendFrame([]byte("before"), []byte(test.id), test.eventName, []byte(test.data))
			if diff := cmp.Diff("before"+test.want, string(got)); diff != "" {
				t.Errorf("frame (-want +got):\n%s", diff)
			}
			if strings.ContainsAny(test.data, "\r\n") || test.id == "" || strings.ContainsAny(test.id, "\x00\r\n") {
				return
			}
			got = sse.Data(append(sse.Begin([]byte("before")), test.id...), test.eventName)
			got = sse.End(append(got, test.data...))
			if diff := cmp.Diff("before"+test.want, string(got)); diff != "" {
				t.Errorf("frame made in place (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendOthers(t *testing.T) {
	t.Parallel()
	open, busy := sse.MustEventName("stream.open"), sse.MustEventName("stream.busy")
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"heartbeat", sse.AppendComment(nil, ""), ":\n\n"},
		{"comment", sse.AppendComment(nil, "hello"), ": hello\n\n"},
		{"comment of two lines", sse.AppendComment(nil, "a\r\ndata: b"), ": a\n: data: b\n\n"},
		{
			"opening", sse.AppendOpening(nil, 2731*time.Millisecond, []byte("4.m"), open, []byte("{}")),
			":\nretry: 2731\nid: 4.m\nevent: stream.open\ndata: {}\n\n",
		},
		{"opening without a delay", sse.AppendOpening(nil, -1, nil, open, []byte("{}")), ":\nevent: stream.open\ndata: {}\n\n"},
		{
			"delay of nothing is a delay", sse.AppendRetryFrame(nil, 0, busy, []byte("{}")),
			"retry: 0\nevent: stream.busy\ndata: {}\n\n",
		},
		{
			"busy", sse.AppendRetryFrame(nil, time.Minute, busy, []byte("{}")),
			"retry: 60000\nevent: stream.busy\ndata: {}\n\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, string(test.got)); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventName(t *testing.T) {
	t.Parallel()
	good := []string{"a", "stream.open", "acme.v1.Price", "A-Z_0/9", strings.Repeat("x", 128)}
	bad := []string{"", "a b", "a\nb", "a\rb", "a:b", "é", "a\x00", strings.Repeat("x", 129)}
	for _, s := range good {
		if name, ok := sse.ParseEventName(s); !ok || name.String() != s || name.IsZero() {
			t.Errorf("ParseEventName(%q) = %q, %t; want it as it is", s, name, ok)
		}
	}
	for _, s := range bad {
		if name, ok := sse.ParseEventName(s); ok || !name.IsZero() {
			t.Errorf("ParseEventName(%q) = %q, %t; want none", s, name, ok)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustEventName of a bad name did not panic")
		}
	}()
	sse.MustEventName("a\nb")
}

func TestAppendFrameDoesNotAllocate(t *testing.T) {
	dst, id, data := make([]byte, 0, 256), []byte("7.abc"), []byte(`{"symbol":"GO"}`)
	name := sse.MustEventName("price")
	if n := testing.AllocsPerRun(100, func() { dst = sse.AppendFrame(dst[:0], id, name, data) }); n != 0 {
		t.Errorf("AppendFrame allocates %v times, want 0", n)
	}
}

// BenchmarkAppendFrame puts an id, a type and data around each other, as for every event; the second has line ends.
func BenchmarkAppendFrame(b *testing.B) {
	id, name := []byte("1763776000000000.0123456789abcdef"), sse.MustEventName("price")
	for _, c := range []struct{ name, data string }{
		{"line", strings.Repeat("x", 200)},
		{"lines", strings.Repeat("twenty bytes a line\n", 10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			dst, data := make([]byte, 0, 1024), []byte(c.data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				dst = sse.AppendFrame(dst[:0], id, name, data)
			}
		})
	}
}
