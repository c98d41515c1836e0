package view_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/view"
)

// BenchmarkView is the cost of one batch of 100 events of about 200 bytes.
func BenchmarkView(b *testing.B) {
	var batch strings.Builder
	for i := range 100 {
		batch.WriteString(frame(id(i+2), "quote", `{"symbol":"ACME","lastPrice":{"units":"132","currencyCode":"USD"},"at":"2026-01-02T03:04:05.123456Z","next":{"symbol":"`+strings.Repeat("x", 60)+`"}}`))
	}
	fields, err := view.NewFields(method(b, "Quote"), "symbol,lastPrice.units")
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat(frame(id(2), "google.api.HttpBody", `{"contentType":"text/csv","data":"`+strings.Repeat("YWJj", 40)+`"}`), 100)
	for _, c := range []struct {
		name  string
		batch string
		o     view.Options
	}{
		{"sse", batch.String(), view.Options{}},
		{"sse-shown", batch.String(), view.Options{Events: []string{"quote"}}},
		{"sse-hidden", batch.String(), view.Options{Events: []string{"x"}}},
		{"sse-fields", batch.String(), view.Options{Fields: fields}},
		{"sse-response-field", batch.String(), view.Options{ResponseField: method(b, "Quote").Output.Fields().ByName(protoreflect.Name("last_price"))}},
		{"plain", batch.String(), view.Options{Representation: view.Plain}},
		{"ndjson", batch.String(), view.Options{Representation: view.NDJSON}},
		{"json", batch.String(), view.Options{Representation: view.JSON}},
		{"raw", body, view.Options{Representation: view.Raw}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := &again{batch: []byte(c.batch)}
			v := view.New(s, c.o)
			v.Opening(nil, time.Second)
			b.SetBytes(int64(len(c.batch)))
			b.ReportAllocs()
			for b.Loop() {
				s.left = 1
				if _, err := v.Next(1 << 20); err != nil {
					b.Fatal(err)
				}
				v.Written()
			}
		})
	}
}

// again gives the same batch over and over.
type again struct {
	stream
	batch []byte
	left  int
}

func (a *again) Next(int) ([]byte, error) {
	if a.left == 0 {
		return nil, nil
	}
	a.left--
	return a.batch, nil
}

func (a *again) Written() {}

// TestLargeBuffersAreGivenUp: a connection that was sent much holds little once it is quiet.
func TestLargeBuffersAreGivenUp(t *testing.T) {
	const views = 50
	huge := frame(id(2), "quote", `{"symbol":"`+strings.Repeat("x", 200<<10)+`"}`)
	held := make([]*view.View, views)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range held {
		held[i] = view.New(batches(huge, ""), view.Options{Representation: view.NDJSON})
		if got := next(t, held[i]); len(got) < 200<<10 {
			t.Fatalf("%d bytes", len(got))
		}
		expect(t, held[i], "")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / views; each > 20<<10 {
		t.Errorf("a quiet view holds %d bytes", each)
	}
	runtime.KeepAlive(held)
}

func TestViewsDoNotAllocate(t *testing.T) {
	fields, err := view.NewFields(method(t, "Quote"), "symbol,lastPrice.units")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]view.Options{
		"filter": {Events: []string{"quote"}}, "hidden": {Events: []string{"x"}}, "fields": {Fields: fields},
		"plain": {Representation: view.Plain}, "ndjson": {Representation: view.NDJSON}, "json": {Representation: view.JSON},
	} {
		s := &again{batch: []byte(frame(id(2), "quote", `{"symbol":"ACME","lastPrice":{"units":"132","currencyCode":"USD"}}`))}
		v := view.New(s, o)
		v.Opening(nil, time.Second)
		n := testing.AllocsPerRun(100, func() {
			s.left = 1
			_, _ = v.Next(1000)
			v.Written()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a batch, want none", name, n)
		}
	}
}
