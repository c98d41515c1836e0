package cursor_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/cursor"
)

func TestNoRule(t *testing.T) {
	if cursor.NewRule(nil) != nil {
		t.Error("a rule for a backend without cursors")
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		kind, field string
		v           cursor.Value
		want        bool
	}{
		{"int64", "cursor", i(5), true},
		{"int64", "cursor", i(0), false}, // zero counts only with presence
		{"int64", "maybe", i(0), true},
		{"sint32", "cursor", i(-7), true},
		{"fixed64", "cursor", u(math.MaxUint64), true},
		{"string", "cursor", s("a"), true},
		{"string", "cursor", s(""), false},
		{"string", "maybe", s(""), true},
		{"bytes", "cursor", s("\xff"), true},
		{"int64", "cursor", cursor.Value{}, false},
		{"string", "maybe", cursor.Value{}, false},
	} {
		w := newWorld(t, c.kind, c.field, false)
		got, ok := w.rule().Of(w.message(c.v))
		if ok != c.want || ok && got != c.v {
			t.Errorf("%s %s = %s: %s, %v", c.kind, c.field, c.v, got, ok)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		kind, request string
		v             cursor.Value
		want          string
	}{
		{"int64", ``, i(7), `page:{after:7}`},
		{"int64", `topic: "x" page { size: 3 }`, i(-7), `topic:"x" page:{after:-7 size:3}`},
		{"int64", `page { after: 1 size: 3 }`, i(7), `page:{after:7 size:3}`},
		{"int64", `page { after: 1 }`, i(0), `page:{}`}, // the cursor replaces what was asked for, also by zero
		{"string", `page { after: "old" }`, s("new"), `page:{after:"new"}`},
	} {
		w := newWorld(t, c.kind, "maybe", false)
		request := w.encoded(c.request)
		before := bytes.Clone(request)
		got := w.text(w.rule().Request(request[:len(request):len(request)+0], c.v))
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%s at %s: %s, want %s", c.request, c.v, got, c.want)
		}
		if !bytes.Equal(before, request) {
			t.Errorf("%s: the request was changed", c.request)
		}
	}
}

// A request with room behind it is copied, too: two calls may be opened from it.
func TestRequestIsACopy(t *testing.T) {
	w := newWorld(t, "int64", "cursor", false)
	room := make([]byte, 0, 64)
	one, two := w.rule().Request(room, i(1)), w.rule().Request(room, i(2))
	if w.text(one) == w.text(two) {
		t.Errorf("both begin at %s", w.text(one))
	}
}

func TestOrder(t *testing.T) {
	for kind, want := range map[string]bool{"int32": true, "sfixed64": true, "uint64": true, "fixed32": true, "string": false, "bytes": false} {
		if got := newWorld(t, kind, "cursor", false).rule().Ordered(); got != want {
			t.Errorf("%s: ordered: %v", kind, got)
		}
	}
	signed, unsigned := newWorld(t, "int64", "cursor", false).rule(), newWorld(t, "uint64", "cursor", false).rule()
	if signed.Compare(i(-1), i(1)) >= 0 || signed.Compare(i(5), i(5)) != 0 || signed.Compare(i(math.MaxInt64), i(math.MinInt64)) <= 0 {
		t.Error("signed integers are compared wrongly")
	}
	if unsigned.Compare(u(math.MaxUint64), u(1)) <= 0 || unsigned.Compare(u(1), u(2)) >= 0 {
		t.Error("unsigned integers are compared wrongly")
	}
}

// The bytes are in ids that clients keep: they must not change by accident.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		kind string
		v    cursor.Value
		want string
	}{
		{"int64", i(0), "\x00"},
		{"int64", i(-1), "\x01"},
		{"int64", i(64), "\x80\x01"},
		{"sfixed32", i(math.MinInt32), "\xff\xff\xff\xff\x0f"},
		{"int64", i(math.MinInt64), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"uint32", u(300), "\xac\x02"},
		{"fixed64", u(math.MaxUint64), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"string", s("é"), "é"},
		{"string", s(""), ""},
		{"bytes", s("\xff\x00"), "\xff\x00"},
		{"bytes", s(strings.Repeat("x", 64)), strings.Repeat("x", 64)},
	} {
		r := newWorld(t, c.kind, "maybe", false).rule()
		got := r.Encode(c.v)
		if string(got) != c.want || got == nil {
			t.Errorf("%s %s: %x, want %x", c.kind, c.v, got, c.want)
		}
		if back, ok := r.Decode(got); !ok || back != c.v {
			t.Errorf("%s %x: %s, %v", c.kind, got, back, ok)
		}
	}
	if got := newWorld(t, "string", "cursor", false).rule().Encode(s(strings.Repeat("x", 65))); got != nil {
		t.Errorf("a cursor of 65 bytes: %x", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ what, kind, field, b string }{
		{"nothing", "int64", "maybe", ""},
		{"cut off", "int64", "maybe", "\x80"},
		{"more behind it", "int64", "maybe", "\x02\x00"},
		{"two ways to write one number", "int64", "maybe", "\x82\x00"},
		{"the same, unsigned", "uint64", "maybe", "\x82\x00"},
		{"65 bits", "uint64", "maybe", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"},
		{"65 bits, signed", "int64", "maybe", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"},
		{"eleven bytes", "uint64", "maybe", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"33 bits", "uint32", "maybe", "\x80\x80\x80\x80\x10"},
		{"33 bits, fixed", "fixed32", "maybe", "\x80\x80\x80\x80\x10"},
		{"too large for 32 bits", "int32", "maybe", "\x80\x80\x80\x80\x10"},
		{"too small for 32 bits", "sint32", "maybe", "\x81\x80\x80\x80\x10"},
		{"zero without presence", "int64", "cursor", "\x00"},
		{"zero without presence, unsigned", "uint32", "cursor", "\x00"},
		{"empty without presence", "string", "cursor", ""},
		{"empty bytes without presence", "bytes", "cursor", ""},
		{"no UTF-8", "string", "maybe", "\xff"},
		{"65 bytes", "bytes", "maybe", strings.Repeat("x", 65)},
		{"65 bytes of text", "string", "maybe", strings.Repeat("x", 65)},
	} {
		if v, ok := newWorld(t, c.kind, c.field, false).rule().Decode([]byte(c.b)); ok || v != (cursor.Value{}) {
			t.Errorf("%s: %s, %v", c.what, v, ok)
		}
	}
}

// FuzzDecode gives Decode what clients may present: what it takes is what Encode writes, and a value that a message of
// the backend could have brought.
func FuzzDecode(f *testing.F) {
	type ruled struct {
		*world
		*cursor.Rule
	}
	var rules []ruled
	for _, kind := range []string{"int32", "sint64", "fixed32", "uint64", "string", "bytes"} {
		for _, field := range []string{"cursor", "maybe"} {
			w := newWorld(f, kind, field, false)
			rules = append(rules, ruled{w, w.rule()})
		}
	}
	for _, b := range []string{"", "\x00", "\xff\xff\xff\xff\x0f", "\x80\x00", "text", "\xff"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range rules {
			v, ok := r.Decode(b)
			if !ok {
				continue
			}
			if !bytes.Equal(r.Encode(v), b) {
				t.Fatalf("%x is %s, which is %x", b, v, r.Encode(v))
			}
			if got, ok := r.Of(r.message(v)); !ok || got != v {
				t.Fatalf("%x is %s, which no message can bring: %s, %v", b, v, got, ok)
			}
		}
	})
}

// What a message brings comes back from its id.
func TestEncodeDecode(t *testing.T) {
	signed, text := newWorld(t, "sfixed64", "maybe", false).rule(), newWorld(t, "string", "maybe", false).rule()
	rapid.Check(t, func(t *rapid.T) {
		for r, v := range map[*cursor.Rule]cursor.Value{signed: i(rapid.Int64().Draw(t, "int")), text: s(rapid.StringN(0, 16, 64).Draw(t, "text"))} {
			if got, ok := r.Decode(r.Encode(v)); !ok || got != v {
				t.Fatalf("%s: %s, %v", v, got, ok)
			}
		}
	})
}
