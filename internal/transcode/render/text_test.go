package render_test

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// TestText writes texts of all lengths up to where blocks repeat, all plain and with one other character at each place.
func TestText(t *testing.T) {
	md := wrapperspb.String("").ProtoReflect().Descriptor()
	ref := reference{md: md, types: global}
	program := render.NewTypes(global).Program(md)
	for length := range 120 {
		text := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz-_ ~!#"), 3)[:length]
		ref.compare(t, program, field(1, text))
		for at := range text {
			for _, odd := range []string{"\"", "\\", "<", ">", "&", "\x00", "\x1f", "\x7f", "é", "\u2028", "\x80", "\xa2", "\xa6", "\xff"} {
				ref.name = fmt.Sprintf("%q at %d of %d", odd, at, length)
				ref.compare(t, program, field(1, append(append(bytes.Clone(text[:at]), odd...), text[at:]...)))
			}
		}
	}
}

// TestRoom renders into memory of all sizes, from none to more than enough: what is written is the same, and what is
// before it stays.
func TestRoom(t *testing.T) {
	for _, s := range samples() {
		if s.name == "large" {
			continue
		}
		program, wire := render.NewTypes(global).Program(s.message.ProtoReflect().Descriptor()), marshal(t, s.message)
		want := append([]byte("before"), mustRender(t, program, nil, wire)...)
		for size := len("before"); size < len(want)+100; size++ {
			room := bytes.Repeat([]byte{0xaa}, size+50)
			got := mustRender(t, program, append(room[:0:size], "before"...), wire)
			if !bytes.Equal(got, want) {
				t.Fatalf("%s in %d bytes:\n got %s\nwant %s", s.name, size, got, want)
			}
			if behind := room[size:]; bytes.Count(behind, []byte{0xaa}) != len(behind) {
				t.Fatalf("%s in %d bytes: wrote behind them", s.name, size)
			}
		}
	}
}
