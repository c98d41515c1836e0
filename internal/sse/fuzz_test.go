package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// FuzzParser: any bytes, in any slices, mean to the parser what they mean to the standard.
func FuzzParser(f *testing.F) {
	for _, s := range []string{
		"data: a\n\n", "\uFEFFid: 1\r\nevent: x\rdata: a\r\rdata", "id: \x00\nretry: 12\nretry: x\n:c\n\ndata\n\n",
		"data: \xE2\x82\ndata: \xF0\x9F\x92\n\n", "\xEF\xBB\xBF\xEF\xBB\xBF\ndata:\n\n", "id\n\n", "\r\n\r\n", "event:x\n\ndata:y\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		want := interpret(stream)
		for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			p := sse.NewParser(r, 0)
			comments := 0
			p.OnComment = func(string) { comments++ }
			got := standardStream{}
			events, err := readAll(p)
			for _, e := range events {
				got.Events = append(got.Events, standardEvent{e.ID, e.Type, e.Data})
			}
			got.LastEventID, got.Comments, got.Retry = p.LastEventID(), comments, want.Retry
			if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, io.EOF) {
				t.Fatalf("error %v, want EOF; stream %q (-want +got):\n%s", err, stream, diff)
			}
			if !sameRetry(p.Retry(), want.Retry) {
				t.Fatalf("retry %v, want %q", p.Retry(), want.Retry)
			}
		}
	})
}

func sameRetry(got time.Duration, want string) bool {
	if want == "" {
		return got == sse.NoRetry
	}
	ms, err := strconv.ParseUint(want, 10, 64)
	if err != nil || ms > uint64(1<<63-1)/uint64(time.Millisecond) {
		return got > 290*365*24*time.Hour // the longest there is
	}
	return got == time.Duration(ms)*time.Millisecond
}

// FuzzEncoder: whatever the fields hold, a frame is one event with these fields, and nothing leaks into its
// neighbours.
func FuzzEncoder(f *testing.F) {
	f.Add("7.abc", "price", `{"a":1}`, "hi", int64(2731))
	f.Add("7\n", "a\nb", "a\r\n\rid: 9\n\ndata: x", "\n\ndata: evil\n\n", int64(-1))
	f.Add("\x00", "", "", "", int64(0))
	f.Add(" 7", "stream.end", " a ", "\r", int64(1<<40))
	f.Fuzz(func(t *testing.T, id, name, data, comment string, retry int64) {
		eventName, _ := sse.ParseEventName(name)
		delay := time.Duration(retry)
		var stream []byte
		stream = sse.AppendComment(stream, comment)
		stream = sse.AppendOpening(stream, delay, []byte(id), eventName, []byte(data))
		stream = sse.AppendComment(stream, comment)
		frame := sse.AppendFrame(nil, []byte(id), eventName, []byte(data))
		inPlace := sse.End(append(sse.Data(append(sse.Begin(nil), id...), eventName), data...))
		if !strings.ContainsAny(data, "\r\n") && id != "" && !strings.ContainsAny(id, "\x00\r\n") && !bytes.Equal(inPlace, frame) {
			t.Errorf("made in place it is %q, else %q", inPlace, frame)
		}
		stream = append(stream, frame...)
		stream = sse.AppendRetryFrame(stream, delay, eventName, []byte(data))

		e := standardEvent{Type: "message", Data: strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)}
		e.Data = string(utf8Decode([]byte(e.Data)))
		if !eventName.IsZero() {
			e.Type = eventName.String()
		}
		if !strings.ContainsAny(id, "\x00\r\n") {
			e.ID = string(utf8Decode([]byte(id)))
		}
		got := interpret(stream)
		if diff := cmp.Diff([]standardEvent{e, e, e}, got.Events); diff != "" {
			t.Fatalf("events of %q (-want +got):\n%s", stream, diff)
		}
		if want := retry >= 0; want != (got.Retry != "") {
			t.Fatalf("retry %q of %v", got.Retry, delay)
		}
		if bytes.IndexByte(stream, '\r') >= 0 || !bytes.HasSuffix(stream, []byte("\n\n")) {
			t.Fatalf("not whole blocks of LF lines: %q", stream)
		}
	})
}
