package event_test

import (
	"encoding/json"
	"testing"

	"github.com/grpc-sse/grpc-sse/bench/internal/event"
)

func TestPayloadIsJSONOfItsSize(t *testing.T) {
	for seq := uint64(1); seq < 1e15; seq = seq*7 + 3 {
		for _, size := range []int{event.Size, 2000, 100_000} {
			payload := event.Sized(nil, size, seq, 1795315325930417000)
			if len(payload) != size {
				t.Fatalf("event %d has %d bytes, want %d", seq, len(payload), size)
			}
			var got struct {
				Seq, Sent json.Number `json:",string"`
				Pad       string
			}
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatalf("event %d: %v", seq, err)
			}
			n, sent, pad, ok := event.Parse(payload)
			if !ok || n != seq || sent != 1795315325930417000 || string(pad) != got.Pad {
				t.Fatalf("Parse(%.60q) = %d, %d, %.20q…, %t", payload, n, sent, pad, ok)
			}
		}
	}
}

func TestParseTakesNumbersAndSpaces(t *testing.T) {
	n, sent, pad, ok := event.Parse([]byte(`{"seq": 12, "sent":34,"pad":"x"}`))
	if n != 12 || sent != 34 || string(pad) != "x" || !ok {
		t.Errorf("got %d, %d, %q, %t", n, sent, pad, ok)
	}
	for _, bad := range []string{``, `{}`, `{"seq":"","sent":"1","pad":""}`, `{"seq":"1","pad":""}`, `{"seq":"1","sent":"1"}`} {
		if _, _, _, ok := event.Parse([]byte(bad)); ok {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestNowNeverGoesBack(t *testing.T) {
	for last, i := event.Now(), 0; i < 1000; i++ {
		now := event.Now()
		if now < last {
			t.Fatalf("%d came after %d", now, last)
		}
		last = now
	}
}
