package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

// audience is all that tells shared streams apart.
type audience struct {
	method      string
	fingerprint [32]byte
	canonical   []byte
	principal   *access.Principal // nil: everybody
	md          metadata.MD
}

func (a audience) key(k *access.Keyer) access.StreamKey {
	return k.Key(a.method, a.fingerprint, a.canonical, a.principal, a.md)
}

func someone(b byte) *access.Principal { return &access.Principal{b} }

// What differs in any part has another key, however the parts' bytes are cut.
func TestKeysDiffer(t *testing.T) {
	k := access.NewKeyer([]string{"x-unkeyed"})
	keys := map[access.StreamKey]string{}
	for name, a := range map[string]audience{
		"nothing":                  {},
		"a_b and c":                {method: "a_b", canonical: []byte("c")},
		"a and b_c":                {method: "a", canonical: []byte("b_c")},
		"a_b and _c":               {method: "a_b", canonical: []byte("_c")},
		"a fingerprint":            {fingerprint: [32]byte{1}},
		"ann":                      {principal: someone('a')},
		"bob":                      {principal: someone('b')},
		"nobody":                   {principal: &access.Principal{}},
		"the principal as request": {canonical: someone('a')[:]},
		"a_b: c":                   {md: metadata.MD{"a_b": {"c"}}},
		"a: b_c":                   {md: metadata.MD{"a": {"b_c"}}},
		"a: _b, c":                 {md: metadata.MD{"a": {"_b", "c"}}},
		"a: b, c":                  {md: metadata.MD{"a": {"b", "c"}}},
		"a: c, b":                  {md: metadata.MD{"a": {"c", "b"}}},
		"a: b,c":                   {md: metadata.MD{"a": {"b,c"}}},
		"a: b; b: c":               {md: metadata.MD{"a": {"b"}, "b": {"c"}}},
		"a: b, b; b: c":            {md: metadata.MD{"a": {"b", "b"}, "b": {"c"}}},
		"a: b, b, c":               {md: metadata.MD{"a": {"b", "b", "c"}}},
		"a: c; b: b":               {md: metadata.MD{"a": {"c"}, "b": {"b"}}},
		"a empty":                  {md: metadata.MD{"a": {""}}},
		"a empty twice":            {md: metadata.MD{"a": {"", ""}}},
		"ann, a: b":                {principal: someone('a'), md: metadata.MD{"a": {"b"}}},
		"bob, a: b":                {principal: someone('b'), md: metadata.MD{"a": {"b"}}},
		"nobody, unkeyed x":        {principal: &access.Principal{}, md: metadata.MD{"x-unkeyed": {"x"}}},
		"nobody, unkeyed y":        {principal: &access.Principal{}, md: metadata.MD{"x-unkeyed": {"y"}}},
		"everybody, unkeyed x":     {md: metadata.MD{"x-unkeyed": {"x"}}},
	} {
		key := a.key(k)
		if other, taken := keys[key]; taken {
			t.Errorf("%q has the key of %q", name, other)
		}
		keys[key] = name
		if key == a.key(access.NewKeyer([]string{"x-unkeyed"})) {
			t.Errorf("%q has the same key in another process", name)
		}
	}
}

// What belongs to one request, and what the operator says never matters, does not tell streams apart.
func TestKeysAreEqual(t *testing.T) {
	k := access.NewKeyer([]string{"x-unkeyed"})
	base := audience{method: "a.B.C", canonical: []byte("request"), principal: someone('a'), md: metadata.MD{"x-a": {"1", "2"}, "x-b": {"3"}}}
	want := base.key(k)
	for _, name := range []string{
		"traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-request-id", "request-id",
		"x-correlation-id", "grpc-timeout", "x-cloud-trace-context", "x-amzn-trace-id", "uber-trace-id", "x-datadog-trace-id", "x-unkeyed",
	} {
		same := base
		same.md = base.md.Copy()
		same.md[name] = []string{name}
		if same.key(k) != want {
			t.Errorf("%s counts", name)
		}
		shared := access.SharedMetadata(same.md)
		if _, passes := shared[name]; passes != (name == "x-unkeyed") {
			t.Errorf("%s goes with a shared call: %v", name, passes)
		}
	}
	none := base
	none.md = base.md.Copy()
	none.md["x-none"] = nil
	if none.key(k) != want {
		t.Error("a name without values counts")
	}
}

// Two audiences have one key if and only if they are equal, and metadata that does not count goes with no shared call.
func TestKeyProperty(t *testing.T) {
	k := access.NewKeyer([]string{"x-u"})
	text := rapid.StringMatching(`[a_\x00\x01\x02]{0,3}`)
	principals := rapid.SampledFrom([]*access.Principal{nil, {}, {1}, {2}, {0, 1}})
	names := rapid.SampledFrom([]string{"a", "a_", "a_a", "x-u", "traceparent", "x-request-id", "grpc-timeout"})
	audiences := rapid.Custom(func(t *rapid.T) audience {
		return audience{
			method: text.Draw(t, "method"), fingerprint: [32]byte{rapid.SampledFrom([]byte{0, 1}).Draw(t, "fingerprint")},
			canonical: []byte(text.Draw(t, "canonical")), principal: principals.Draw(t, "principal"),
			md: rapid.MapOfN(names, rapid.SliceOfN(text, 0, 3), 0, 4).Draw(t, "metadata"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := audiences.Draw(t, "a"), audiences.Draw(t, "b")
		if rapid.Bool().Draw(t, "close") { // two that are drawn apart are seldom nearly equal
			md := b.md
			b = a
			b.md = md
		}
		if got, want := a.key(k) == b.key(k), sameAudience(a, b); got != want {
			t.Fatalf("same key %v, want %v:\n%+v\n%+v", got, want, a, b)
		}
		shared := a
		shared.md = access.SharedMetadata(a.md)
		if shared.key(k) != a.key(k) {
			t.Fatalf("what goes with no shared call counts: %+v", a.md)
		}
	})
}

// sameAudience compares part by part.
func sameAudience(a, b audience) bool {
	if a.method != b.method || a.fingerprint != b.fingerprint || string(a.canonical) != string(b.canonical) {
		return false
	}
	if (a.principal == nil) != (b.principal == nil) || a.principal != nil && *a.principal != *b.principal {
		return false
	}
	counts := func(md metadata.MD) map[string][]string {
		rest := map[string][]string{}
		for name, values := range md {
			unkeyed := name == "x-u" && a.principal != nil && !a.principal.Anonymous()
			if len(values) > 0 && !unkeyed && !slices.Contains([]string{"traceparent", "x-request-id", "grpc-timeout"}, name) {
				rest[name] = values
			}
		}
		return rest
	}
	return cmp.Equal(counts(a.md), counts(b.md))
}

func TestSharedMetadataLeavesTheOriginal(t *testing.T) {
	md := metadata.MD{"authorization": {"Bearer a"}, "traceparent": {"00-1"}}
	shared := access.SharedMetadata(md)
	if diff := cmp.Diff(metadata.MD{"authorization": {"Bearer a"}}, shared); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(md) != 2 {
		t.Errorf("the original has changed: %v", md)
	}
}

func BenchmarkKey(b *testing.B) {
	k := access.NewKeyer(nil)
	md := metadata.MD{"authorization": {strings.Repeat("x", 800)}, "accept-language": {"en"}, "traceparent": {"00-1"}}
	canonical := []byte(strings.Repeat("x", 100))
	b.ReportAllocs()
	for b.Loop() {
		k.Key("acme.prices.v1.Prices.WatchPrices", [32]byte{}, canonical, someone(1), md)
	}
}
