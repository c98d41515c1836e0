package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// figure is a number with three digits, and with k or M where it is long; "–" for none.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 999_500:
		return digits(v/1e6) + " M"
	case a >= 9_995:
		return digits(v/1e3) + " k"
	default:
		return digits(v)
	}
}

// digits writes three digits that mean something, and all that stand before the point.
func digits(v float64) string {
	a := math.Abs(v)
	places := 0
	for limit := 99.95; places < 2 && a < limit; limit /= 10 {
		places++
	}
	if a < 0.9995 && a > 0 {
		places = min(2-int(math.Floor(math.Log10(a))), 6) - 1
		places = max(places, 2)
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// withUnit is a figure and its unit: "7.91 µs", "125 k/s".
func withUnit(v float64, unit string) string {
	switch {
	case unit == "" || math.IsNaN(v):
		return figure(v)
	case strings.HasPrefix(unit, "/"):
		return figure(v) + unit
	default:
		return figure(v) + " " + unit
	}
}

// times says how a figure relates to another: "1.6×", "" when it cannot be said.
func times(v, of float64) string {
	ratio := v / of
	switch {
	case math.IsNaN(ratio) || math.IsInf(ratio, 0) || ratio == 0:
		return ""
	case ratio >= 9.95:
		return strconv.FormatFloat(ratio, 'f', 0, 64) + "×"
	case ratio >= 0.095:
		return strconv.FormatFloat(ratio, 'f', 1, 64) + "×"
	default:
		return strconv.FormatFloat(ratio, 'f', 2, 64) + "×"
	}
}

// spread is the least and the most of a row's values, "" when they are the same for a reader.
func spread(row result.Row) string {
	least, most := row.Spread()
	if math.IsNaN(least) || figure(least) == figure(most) {
		return ""
	}
	return figure(least) + "–" + figure(most)
}
