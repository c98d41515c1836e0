package view_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

const fieldsFile = `
dependency: "google/protobuf/timestamp.proto"
dependency: "google/protobuf/struct.proto"
dependency: "google/protobuf/any.proto"
dependency: "google/protobuf/wrappers.proto"
syntax: "proto3"
message_type {
  name: "Quote"
  field { name: "symbol" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "symbol" }
  field { name: "last_price" number: 2 type: TYPE_MESSAGE type_name: ".test.v1.Money" label: LABEL_OPTIONAL json_name: "lastPrice" }
  field { name: "bids" number: 3 type: TYPE_MESSAGE type_name: ".test.v1.Money" label: LABEL_REPEATED json_name: "bids" }
  field { name: "at" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL json_name: "at" }
  field { name: "detail" number: 5 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL json_name: "detail" }
  field { name: "free" number: 6 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL json_name: "free" }
  field { name: "by_name" number: 7 type: TYPE_MESSAGE type_name: ".test.v1.Quote.ByNameEntry" label: LABEL_REPEATED json_name: "byName" }
  field { name: "odd" number: 8 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "o\"d\n<d>" }
  field { name: "next" number: 9 type: TYPE_MESSAGE type_name: ".test.v1.Quote" label: LABEL_OPTIONAL json_name: "next" }
  nested_type {
    name: "ByNameEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".test.v1.Money" label: LABEL_OPTIONAL json_name: "value" }
  }
}
message_type {
  name: "Money"
  field { name: "units" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "units" }
  field { name: "currency_code" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "currencyCode" }
}
message_type {
  name: "Update"
  field { name: "quote" number: 1 type: TYPE_MESSAGE type_name: ".test.v1.Quote" label: LABEL_OPTIONAL oneof_index: 0 json_name: "quote" }
  field { name: "error" number: 2 type: TYPE_MESSAGE type_name: ".test.v1.Money" label: LABEL_OPTIONAL oneof_index: 0 json_name: "error" }
  field { name: "text" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 json_name: "text" }
  field { name: "time" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL oneof_index: 0 json_name: "time" }
  field { name: "sequence" number: 5 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "sequence" }
  oneof_decl { name: "event" }
}`

func method(t testing.TB, name string) *schema.Method {
	t.Helper()
	return &schema.Method{Name: "test.v1.S.Watch", Output: messages(t, fieldsFile).ByName(protoreflect.Name(name))}
}

func caseValue(t testing.TB) *schema.Method {
	t.Helper()
	m := method(t, "Update")
	m.Stream.CaseValue, m.Stream.Event.Oneof = true, m.Output.Oneofs().Get(0)
	return m
}

// masked is data as it is shown under a mask.
func masked(t testing.TB, m *schema.Method, paths, name, data string) string {
	t.Helper()
	fields, err := view.NewFields(m, paths)
	if err != nil {
		t.Fatal(err)
	}
	return shown(t, view.Options{Fields: fields}, name, data)
}

// shown is what becomes of an event's data.
func shown(t testing.TB, o view.Options, name, data string) string {
	t.Helper()
	v := view.New(batches(frame(id(2), name, data)), o)
	v.Opening(nil, time.Second)
	b, err := v.Next(1000)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := strings.CutPrefix(string(b), "id: "+id(2)+"\nevent: "+name+"\ndata: ")
	if !ok || !strings.HasSuffix(got, "\n\n") {
		t.Fatalf("%q is not the event", b)
	}
	return strings.TrimSuffix(got, "\n\n")
}

func TestFields(t *testing.T) {
	t.Parallel()
	const quote = `{"symbol":"a,\"}]b","lastPrice":{"units":"1","currencyCode":"USD"},"bids":[{"units":"2"},{"currencyCode":"€"}],` +
		`"at":"2026-01-02T03:04:05Z","detail":{"@type":"x","units":"1"},"free":{"units":[1,[2],{}],"x":null},` +
		`"byName":{"units":{"units":"3"}},"o\"d\n\u003cd\u003e":"odd","next":{"symbol":"c"},"[test.v1.ext]":1}`
	for _, c := range []struct{ paths, want string }{
		{"symbol", `{"symbol":"a,\"}]b"}`},
		{"last_price", `{"lastPrice":{"units":"1","currencyCode":"USD"}}`},
		{"lastPrice", `{"lastPrice":{"units":"1","currencyCode":"USD"}}`},
		{"last_price.currency_code,symbol", `{"symbol":"a,\"}]b","lastPrice":{"currencyCode":"USD"}}`},
		{"last_price.units,lastPrice", `{"lastPrice":{"units":"1","currencyCode":"USD"}}`},
		{"lastPrice,last_price.units", `{"lastPrice":{"units":"1","currencyCode":"USD"}}`},
		{"lastPrice.units,last_price.currency_code", `{"lastPrice":{"units":"1","currencyCode":"USD"}}`},
		{"bids.units", `{"bids":[{"units":"2"},{}]}`},
		{"at,detail", `{"at":"2026-01-02T03:04:05Z","detail":{"@type":"x","units":"1"}}`},
		{"free", `{"free":{"units":[1,[2],{}],"x":null}}`},
		{"by_name", `{"byName":{"units":{"units":"3"}}}`},
		{"odd", `{"o\"d\n\u003cd\u003e":"odd"}`},
		{"next.next.symbol", `{"next":{}}`},
		{"next.symbol", `{"next":{"symbol":"c"}}`},
	} {
		if got := masked(t, method(t, "Quote"), c.paths, "quote", quote); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.paths, got, c.want)
		}
	}
	if got := masked(t, method(t, "Quote"), "at", "quote", `{"symbol":"a"}`); got != `{}` {
		t.Errorf("masked away: %s", got)
	}
}

func TestFieldsOfCases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ paths, name, data, want string }{
		{"symbol", "quote", `{"symbol":"a","lastPrice":{}}`, `{"symbol":"a"}`},
		{"symbol", "app.error", `{"units":"1","symbol":"?"}`, `{}`},
		{"units", "app.error", `{"units":"1","currencyCode":"USD"}`, `{"units":"1"}`},
		{"units", "text", `"units"`, `"units"`}, // has no fields
		{"units", "time", `"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05Z"`},
		{"sequence", "test.v1.Update", `{"sequence":1,"x":2}`, `{"sequence":1}`}, // no case is set
		{"symbol", "test.v1.Update", `{"sequence":1}`, `{}`},
	} {
		if got := masked(t, caseValue(t), c.paths, c.name, c.data); got != c.want {
			t.Errorf("%s of %s %s: %s, want %s", c.paths, c.name, c.data, got, c.want)
		}
	}
}

func TestBadFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method *schema.Method
		paths  string
		want   []string
	}{
		{method(t, "Quote"), "", []string{"sse.fields", "empty"}},
		{method(t, "Quote"), "symbol,", []string{"empty"}},
		{method(t, "Quote"), "symbl", []string{`"symbl" is not a field`, `did you mean "symbol"?`}},
		{method(t, "Quote"), "symbol,last_price.unit", []string{`"last_price.unit" is not a field`, `did you mean "last_price.units"?`}},
		{method(t, "Quote"), "symbol.x", []string{`"symbol.x"`, `"symbol" has no fields of its own`}},
		{method(t, "Quote"), "at.seconds", []string{`"at" has no fields of its own`, "whole"}},
		{method(t, "Quote"), "detail.units", []string{`"detail" has no fields`}},
		{method(t, "Quote"), "by_name.x", []string{`"by_name" has no fields`}},
		{method(t, "Quote"), ".symbol", []string{"not a field"}},
		{method(t, "Quote"), " symbol", []string{"not a field"}},
		{caseValue(t), "symbl", []string{`did you mean "symbol"?`}},
		{caseValue(t), "unts", []string{`did you mean "units"?`}}, // of the second case
		{caseValue(t), "quote.symbol.x", []string{`"quote.symbol" has no fields`}},
	} {
		_, err := view.NewFields(c.method, c.paths)
		if err == nil {
			t.Errorf("%q is taken", c.paths)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %q does not say %q", c.paths, err, want)
			}
		}
	}
}

// TestOwnFramesAreNotMasked: the data of the bridge's events is the same for everybody.
func TestOwnFramesAreNotMasked(t *testing.T) {
	t.Parallel()
	fields, err := view.NewFields(method(t, "Quote"), "symbol")
	if err != nil {
		t.Fatal(err)
	}
	o := view.Options{Fields: fields, ResponseField: method(t, "Quote").Output.Fields().ByName("symbol")}
	for _, own := range []string{undecodable, busy, frame(endID(3), "stream.end", badEnd), frame(id(2), "stream.reset", `{"missed":1}`)} {
		v := view.New(batches(own), o)
		open(v)
		expect(t, v, own)
	}
}

// TestFieldsAsByDecoding: pruning the text gives what decoding, pruning and encoding give.
func TestFieldsAsByDecoding(t *testing.T) {
	t.Parallel()
	m := method(t, "Quote")
	leaf := rapid.SampledFrom([]any{"", "a\"b", `\`, "}]", "<&>\u2028é", 0, -1.5e300, true, nil})
	names := []string{"symbol", "lastPrice", "bids", "next", "units", "currencyCode", "at", "x,\"y", "o\"d\n<d>"}
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(r *rapid.T) any {
			switch kind := rapid.IntRange(0, 3).Draw(r, "kind"); {
			case kind <= 1 && depth > 0:
				return rapid.MapOfN(rapid.SampledFrom(names), value(depth-1), 0, 6).Draw(r, "object")
			case kind == 2 && depth > 0:
				return rapid.SliceOfN(value(depth-1), 0, 3).Draw(r, "list")
			default:
				return leaf.Draw(r, "leaf")
			}
		})
	}
	paths := map[string][]string{
		"symbol": {"symbol"}, "last_price.units": {"lastPrice", "units"}, "bids.currency_code": {"bids", "currencyCode"},
		"next": {"next"}, "next.symbol": {"next", "symbol"}, "next.next.bids": {"next", "next", "bids"}, "odd": {"o\"d\n<d>"},
	}
	var all []string
	for path := range paths {
		all = append(all, path)
	}
	rapid.Check(t, func(r *rapid.T) {
		chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 4, rapid.ID).Draw(r, "paths")
		object := rapid.MapOfN(rapid.SampledFrom(names), value(3), 0, 6).Draw(r, "data")
		data, err := json.Marshal(object)
		if err != nil {
			r.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			r.Fatal(err)
		}
		var wanted [][]string
		for _, path := range chosen {
			wanted = append(wanted, paths[path])
		}
		want = prune(want, wanted)
		text := masked(t, m, strings.Join(chosen, ","), "quote", string(data))
		var got any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			r.Fatalf("%s is not JSON: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("%s under %v (-want +got):\n%s", data, chosen, diff)
		}
	})
}

// prune is the mask on decoded JSON.
func prune(value any, paths [][]string) any {
	switch value := value.(type) {
	case map[string]any:
		kept := make(map[string]any)
		for name, sub := range value {
			var deeper [][]string
			whole := false
			for _, path := range paths {
				if path[0] == name {
					whole = whole || len(path) == 1
					deeper = append(deeper, path[1:])
				}
			}
			switch {
			case whole:
				kept[name] = sub
			case deeper != nil:
				kept[name] = prune(sub, deeper)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for i := range value {
			kept[i] = prune(value[i], paths)
		}
		return kept
	default:
		return value
	}
}

// FuzzShape: data that is not what the log holds does no harm, and nothing is shown that was not there.
func FuzzShape(f *testing.F) {
	for _, s := range []string{`{"symbol":"a"}`, `{"symbol"`, `{"symbol":`, `{"symbol":[`, `[`, `{`, `{"lastPrice":{"units":1}`, `{,}`, `]`, `"`, `{"a`, `{"bids":[}`, `{"bids":[,,`} {
		f.Add(s)
	}
	m := method(f, "Quote")
	fields, err := view.NewFields(m, "symbol,last_price.units,bids.units")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if strings.ContainsAny(data, "\r\n") {
			return
		}
		for _, form := range []view.Representation{view.SSE, view.NDJSON, view.JSON, view.Raw} {
			for _, field := range []protoreflect.FieldDescriptor{nil, m.Output.Fields().ByName("last_price")} {
				v := view.New(batches(frame(id(2), "quote", data)+frame(id(3), "stream.reset", data)), view.Options{
					Representation: form, Fields: fields, ResponseField: field,
				})
				v.Opening(nil, 0)
				b, _ := v.Next(1000)
				if len(b) > 2*len(data)+2000 {
					t.Fatalf("%d bytes of %q", len(b), data)
				}
			}
		}
	})
}

// TestALongPathCostsLittle: a path as long as a request's head may be takes memory by its length, not by its square.
func TestALongPathCostsLittle(t *testing.T) {
	const names, most = 6000, 10 << 20
	m := method(t, "Quote")
	path := strings.TrimSuffix(strings.Repeat("next.", names), ".")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := view.NewFields(m, path); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > most {
		t.Errorf("a path of %d names took %d bytes, want at most %d", names, took, most)
	}
}
