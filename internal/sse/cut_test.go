package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// cut is a Frame in values that can be compared.
type cut struct {
	ID, Event, Data, Comment, Raw string
	Retry                         time.Duration
	HasComment                    bool
}

func cutAll(t *testing.T, stream []byte) []cut {
	t.Helper()
	var cuts []cut
	for len(stream) != 0 {
		f, rest, ok := sse.CutFrame(stream)
		if !ok {
			t.Fatalf("no frame at %q", stream)
		}
		if f.HasData() != (f.Data() != nil) {
			t.Errorf("HasData %v, Data %q", f.HasData(), f.Data())
		}
		cuts = append(cuts, cut{
			ID: string(f.ID), Event: string(f.Event), Data: string(f.Data()), Comment: string(f.Comment), Raw: string(f.Raw),
			Retry: f.Retry, HasComment: f.Comment != nil,
		})
		stream = rest
	}
	return cuts
}

func TestCutFrame(t *testing.T) {
	t.Parallel()
	price := sse.MustEventName("price")
	const none = sse.NoRetry
	tests := []struct {
		name  string
		frame []byte
		want  cut
	}{
		{"all", sse.AppendFrame(nil, []byte("7.a"), price, []byte("{}")), cut{ID: "7.a", Event: "price", Data: "{}", Retry: none}},
		{"data alone", sse.AppendFrame(nil, nil, sse.EventName{}, []byte("a")), cut{Data: "a", Retry: none}},
		{"no data", sse.AppendFrame(nil, nil, price, nil), cut{Event: "price", Retry: none}},
		{"lines", sse.AppendFrame(nil, nil, price, []byte("a\r\n\n b")), cut{Event: "price", Data: "a\n\n b", Retry: none}},
		{"heartbeat", sse.AppendComment(nil, ""), cut{Retry: none, HasComment: true}},
		{"comment", sse.AppendComment(nil, "a\nb"), cut{Comment: "b", Retry: none, HasComment: true}},
		{
			"opening", sse.AppendOpening(nil, 2731*time.Millisecond, []byte("4.m"), price, []byte("{}")),
			cut{ID: "4.m", Event: "price", Data: "{}", Retry: 2731 * time.Millisecond, HasComment: true},
		},
		{"delay", sse.AppendRetryFrame(nil, 0, price, []byte("{}")), cut{Event: "price", Data: "{}"}},
		{"preamble", sse.AppendPreamble(nil, time.Second, []byte("4.m")), cut{ID: "4.m", Retry: time.Second, HasComment: true}},
		{"preamble without id", sse.AppendPreamble(nil, time.Second, nil), cut{Retry: time.Second, HasComment: true}},
		{"preamble of nothing", sse.AppendPreamble(nil, -1, nil), cut{Retry: none, HasComment: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.want.Raw = string(test.frame)
			next := sse.AppendFrame(nil, []byte("next"), price, []byte("x"))
			got := cutAll(t, append(test.frame, next...))
			want := []cut{test.want, {ID: "next", Event: "price", Data: "x", Retry: none, Raw: string(next)}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCutFrameRefuses(t *testing.T) {
	t.Parallel()
	for _, b := range []string{
		"", "\n", "data: a\n", "data: a", "data:a\n\n", "data: a\nid: 1\n\n", "data: a\ndata: b\nevent: x\n\n", "what\n\n",
		"retry: x\n\n", "retry: -1\n\n", "retry: 9223372036854775807\n\n", "data: a\r\n\r\n",
	} {
		if f, rest, ok := sse.CutFrame([]byte(b)); ok || string(rest) != b {
			t.Errorf("CutFrame(%q) = %+v, %q, %v", b, f, rest, ok)
		}
	}
}

// FuzzCutFrame: what is cut apart is what was put together and what the parser reads, and foreign bytes are harmless.
func FuzzCutFrame(f *testing.F) {
	f.Add("7.abc", "price", `{"a":1}`, int64(2731))
	f.Add("7\n", "a\nb", "a\r\n\rid: 9\n\ndata: x", int64(-1))
	f.Add("", "", "\n", int64(0))
	f.Fuzz(func(t *testing.T, id, name, data string, retry int64) {
		eventName, _ := sse.ParseEventName(name)
		delay := time.Duration(retry)
		stream := sse.AppendOpening(nil, delay, []byte(id), eventName, []byte(data))
		stream = sse.AppendPreamble(stream, delay, []byte(id))
		stream = sse.AppendFrame(stream, []byte(id), eventName, []byte(data))
		cuts := cutAll(t, stream)
		if len(cuts) != 3 || cuts[0].Raw+cuts[1].Raw+cuts[2].Raw != string(stream) {
			t.Fatalf("%q is cut into %+v", stream, cuts)
		}
		events := interpret(stream).Events
		for i, c := range []cut{cuts[0], cuts[2]} {
			if c.Data != strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data) || c.Event != eventName.String() {
				t.Errorf("event %q, data %q", c.Event, c.Data)
			}
			want := events[i]
			got := standardEvent{ID: string(utf8Decode([]byte(c.ID))), Type: c.Event, Data: string(utf8Decode([]byte(c.Data)))}
			if got.Type == "" {
				got.Type = "message"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the parser reads (-) and CutFrame (+):\n%s", diff)
			}
		}
		if retry >= 0 && cuts[0].Retry != delay.Truncate(time.Millisecond) || retry < 0 && cuts[0].Retry != sse.NoRetry {
			t.Errorf("retry %v of %v", cuts[0].Retry, delay)
		}
		for rest := []byte(id + name + data); len(rest) != 0; {
			frame, after, ok := sse.CutFrame(rest)
			if !ok {
				break
			}
			_ = frame.Data()
			rest = after
		}
	})
}

func TestCutFrameDoesNotAllocate(t *testing.T) {
	stream := sse.AppendFrame(nil, []byte("7.abc"), sse.MustEventName("price"), []byte(`{"symbol":"GO"}`))
	n := testing.AllocsPerRun(100, func() {
		if f, _, ok := sse.CutFrame(stream); !ok || len(f.Data()) == 0 {
			t.Error("no frame")
		}
	})
	if n != 0 {
		t.Errorf("CutFrame allocates %v times, want 0", n)
	}
}

func BenchmarkCutFrame(b *testing.B) {
	stream := sse.AppendFrame(nil, []byte("1763776000000000.0123456789abcdef"), sse.MustEventName("price"), []byte(strings.Repeat("x", 200)))
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		sse.CutFrame(stream)
	}
}
