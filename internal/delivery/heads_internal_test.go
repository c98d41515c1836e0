package delivery

import (
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestHeads: what is remembered is what would be made, whatever was asked for before, and at which time.
func TestHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heads
		made := map[string]bool{}
		for i := range 4000 {
			header := http.Header{"Vary": {"Accept"}, "Cache-Control": {"no-store"}}
			if i%2 == 0 {
				header["Access-Control-Allow-Origin"] = []string{[]string{"https://a.test", "https://b.test", "https://longer.test"}[i%3]}
			}
			if i%5 == 0 {
				header["Vary"] = []string{"Accept", "Origin"}
			}
			if i%7 == 0 {
				header["X-Other"] = header["Vary"]
				delete(header, "Vary")
			}
			if i%3 == 0 {
				header["X-Nothing"] = nil // as many headers, none of which is sent
			} else {
				header["X-Something"] = []string{"a"}
			}
			r := &http.Request{ProtoMajor: 1, ProtoMinor: i / 11 % 2}
			want := string(hijackedHead(maps.Clone(header), r))
			if got := string(h.of(header, r)); got != want {
				t.Fatalf("the head is\n%s\nwant\n%s", got, want)
			}
			made[want] = true
			time.Sleep(100 * time.Millisecond)
		}
		if len(made) < 1000 {
			t.Errorf("only %d different heads", len(made))
		}
		header := http.Header{"Vary": {"Accept"}}
		r := &http.Request{ProtoMajor: 1, ProtoMinor: 1}
		first := h.of(header, r)
		if again := h.of(http.Header{"Vary": {"Accept"}}, r); &again[0] != &first[0] {
			t.Error("it is made again for an equal request")
		}
	})
}
