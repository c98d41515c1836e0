package report

import (
	"math"
	"testing"
)

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0712: "0.071", 0.24: "0.24", 0.9999: "1", 1.256: "1.26", 8.5: "8.5", 9.999: "10", 12.34: "12.3", 99.96: "100", 123.4: "123",
		1234: "1234", 9999: "10 k", 12_345: "12.3 k", 155_300: "155 k", 999_900: "1 M", 2_213_000: "2.21 M", 41_000_000: "41 M",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := figure(math.NaN()); got != "–" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		v, of float64
		want  string
	}{
		{16, 10, "1.6×"}, {99, 10, "9.9×"}, {104, 10, "10×"}, {10, 100, "0.1×"}, {7, 100, "0.07×"}, {1, 0, ""}, {math.NaN(), 1, ""}, {1, math.NaN(), ""},
	} {
		if got := times(c.v, c.of); got != c.want {
			t.Errorf("%v of %v: %q, want %q", c.v, c.of, got, c.want)
		}
	}
}
