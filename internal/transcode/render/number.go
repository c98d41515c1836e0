package render

import (
	"math"
	"strconv"
)

// appendFloat appends a number as encoding/json and protojson write it.
func appendFloat(dst []byte, n float64, bitSize int) []byte {
	abs := math.Abs(n)
	switch {
	case n != n:
		return append(dst, `"NaN"`...)
	case n > math.MaxFloat64:
		return append(dst, `"Infinity"`...)
	case n < -math.MaxFloat64:
		return append(dst, `"-Infinity"`...)
	}
	if bitSize == 64 {
		if short, ok := appendShort(dst, n, abs); ok {
			return short
		}
	}
	if abs == 0 || abs >= 1e-6 && abs < 1e21 && bitSize == 64 || bitSize == 32 && float32(abs) >= 1e-6 && float32(abs) < 1e21 {
		return strconv.AppendFloat(dst, n, 'f', -1, bitSize)
	}
	dst = strconv.AppendFloat(dst, n, 'e', -1, bitSize)
	// e-09 is written as e-9.
	if end := len(dst); end >= 4 && dst[end-4] == 'e' && dst[end-3] == '-' && dst[end-2] == '0' {
		dst[end-2] = dst[end-1]
		dst = dst[:end-1]
	}
	return dst
}

// appendShort appends a number that has at most six decimals and fifteen digits, as those do that people make: prices,
// measures, percentages. It reports false for others, and then has appended nothing.
//
// A decimal m/10⁶ with m below 10¹⁵ is the shortest one for a double exactly if dividing gives the double: m and 10⁶ are
// exact and division is rounded correctly; and no two decimals of so few digits have the same double.
func appendShort(dst []byte, n, abs float64) ([]byte, bool) {
	const scale = 1_000_000
	if abs >= 1e9 {
		return dst, false
	}
	m := uint64(abs*scale + 0.5)
	if m == 0 || float64(m)/scale != abs {
		return dst, false
	}
	if n < 0 {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, m/scale, 10)
	decimals := uint32(m % scale)
	if decimals == 0 {
		return dst, true
	}
	dst = append(dst, '.')
	dst = appendThousandth(appendThousandth(dst, decimals/1000), decimals%1000)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst, true
}
