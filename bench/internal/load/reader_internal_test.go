package load

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

const testHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

// response is one with n events from first on, in chunks that do not know where events end. 0 is no chunks.
func response(first, n, chunk int, frame string) []byte {
	var body strings.Builder
	body.WriteString(":\nretry: 2000\nid: 1.x\nevent: stream.open\ndata: {}\n\n")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&body, frame, event.Payload(nil, uint64(i), 1000))
	}
	if chunk == 0 {
		return []byte(testHead + "\r\n" + body.String())
	}
	out := testHead + "transfer-encoding: Chunked\r\n\r\n"
	for text := body.String(); text != ""; {
		size := min(chunk, len(text))
		out += fmt.Sprintf("%x\r\n%s\r\n", size, text[:size])
		text = text[size:]
	}
	return []byte(out)
}

func newTestReader(first uint64) (*reader, *tally) {
	t := newTally(first, true, true, func() {})
	t.readers = 1
	return &reader{next: first}, t
}

func TestReaderCountsEventsHoweverTheyAreCut(t *testing.T) {
	for _, frame := range []string{"id: 7.abc\nevent: tick\ndata: %s\n\n", "%s\n", "data: %s\n\n:\n\n", "data: %s\r\n\r\n"} {
		for _, chunk := range []int{0, 1, 7, 100, 207, 1 << 16} {
			wire := response(8, 5, chunk, frame) // 9 to 10: numbers get longer
			step := 1
			if chunk > 0 && chunk < 100 {
				step = 17 // there is hardly anything that chunks do not cut
			}
			for cut := 0; cut < len(wire); cut += step {
				r, got := newTestReader(8)
				r.feed(got, wire[:cut], 1500)
				r.feed(got, wire[cut:], 1500)
				if got.err != nil || got.events != 5 || got.reached.Load() != 12 || got.heads != 1 {
					t.Fatalf("frame %q, chunks of %d, cut at %d: %d events up to %d, %d heads, %v",
						frame, chunk, cut, got.events, got.reached.Load(), got.heads, got.err)
				}
				if p := got.hist.Quantile(0.5); p < 490 || p > 510 {
					t.Fatalf("frame %q, cut at %d: latency %d, want 500", frame, cut, p)
				}
			}
		}
	}
}

func TestReaderFindsWhatIsMissingOrTwice(t *testing.T) {
	const frame = "data: %s\n\n"
	events := func(numbers ...int) string {
		var text strings.Builder
		text.WriteString(testHead + "\r\n")
		for _, n := range numbers {
			fmt.Fprintf(&text, frame, event.Payload(nil, uint64(n), 1000))
		}
		return text.String()
	}
	for name, wire := range map[string]string{
		"missing":         events(1, 2, 4),
		"missing first":   events(2),
		"twice":           events(1, 2, 2, 3),
		"out of order":    events(1, 3, 2),
		"no number":       testHead + "\r\ndata: {\"seq\":null}\n\n",
		"status":          strings.Replace(events(1), "200", "503", 1),
		"ended":           testHead + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an endless head": "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 10_000),
	} {
		for _, each := range []int{1, 1 << 20} {
			r, got := newTestReader(1)
			for rest := wire; rest != "" && got.err == nil; {
				n := min(each, len(rest))
				r.feed(got, []byte(rest[:n]), 1500)
				rest = rest[n:]
			}
			if got.err == nil {
				t.Errorf("%s: read %d bytes at a time it was not noticed", name, each)
			}
		}
	}
}

func TestGreetingsAreNoEvents(t *testing.T) {
	r, got := newTestReader(1)
	r.feed(got, []byte(testHead+"\r\ndata: {\"seq\":\"0\",\"sent\":\"0\",\"pad\":\"\"}\n\n"), 1)
	if got.events != 0 || got.err != nil {
		t.Errorf("%d events, %v", got.events, got.err)
	}
}

func TestReachedIsTheSlowestReader(t *testing.T) {
	_, got := newTestReader(1)
	got.readers = 2
	a, b := &reader{n: 0, next: 1, state: inBody}, &reader{n: 1, next: 1, state: inBody}
	line := func(n int) []byte { return fmt.Appendf(nil, "data: %s\n", event.Payload(nil, uint64(n), 0)) }
	for n := 1; n <= 1000; n++ {
		a.feed(got, line(n), 0)
	}
	for n := 1; n <= 1000; n++ {
		if reached := got.reached.Load(); reached != uint64(n-1) {
			t.Fatalf("reached %d before the second reader has %d", reached, n)
		}
		b.feed(got, line(n), 0)
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	r, got := newTestReader(1)
	r.state = inBody
	payload := make([]byte, 0, 2*event.Size)
	n := uint64(0)
	allocated := testing.AllocsPerRun(1000, func() {
		n++
		payload = append(payload[:0], "id: 1.abc\nevent: tick\ndata: "...)
		payload = append(event.Payload(payload, n, 1000), "\n\n"...)
		half := int(n) % len(payload)
		r.feed(got, payload[:half], 1500)
		r.feed(got, payload[half:], 1500)
	})
	if allocated != 0 || got.err != nil {
		t.Errorf("%v allocations for an event, %v", allocated, got.err)
	}
}

func TestHistogramIsExactEnough(t *testing.T) {
	var h Histogram
	const most = int64(2 * time.Second)
	for i := range int64(100_000) {
		h.Add(most / 100_000 * i)
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		got, want := float64(h.Quantile(q)), q*float64(most)
		if got < 0.96*want || got > 1.04*want {
			t.Errorf("quantile %v is %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
	for _, v := range []int64{0, 1, 63, 64, 65, 1000, most, 1<<62 + 12345} {
		if m := float64(middle(bucket(v))); m < float64(v)*0.96-1 || m > float64(v)*1.04+1 {
			t.Errorf("%d is counted as about %v", v, m)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	wire := make([]byte, 0, 300*1000)
	for n := 1; n <= 1000; n++ {
		wire = append(wire, "id: 1795315325930417.kY7xlhTBzwmJfJZ0\nevent: tick\ndata: "...)
		wire = append(event.Payload(wire, uint64(n), 1000), "\n\n"...)
	}
	b.ReportAllocs()
	_, t := newTestReader(1)
	for b.Loop() {
		r := reader{next: 1, state: inBody}
		t.reached.Store(0)
		r.feed(t, wire, 1500)
		if r.next != 1001 {
			b.Fatal(r.next, t.err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
