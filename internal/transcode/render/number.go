package render

import (
	"math"
	"math/bits"
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
	dst = appendUint(dst, m/scale)
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

// appendInt appends a number in decimal.
func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendUint(append(dst, '-'), -uint64(n))
	}
	return appendUint(dst, uint64(n))
}

// appendUint appends a number in decimal. It writes where the digits stay, which strconv does not.
func appendUint(dst []byte, n uint64) []byte {
	end := len(dst) + digits(n)
	if end > cap(dst) {
		return strconv.AppendUint(dst, n, 10)
	}
	dst = dst[:end]
	for n >= 100 {
		end -= 2
		put(dst[end:], uint32(n%100))
		n /= 100
	}
	if n >= 10 {
		put(dst[end-2:], uint32(n))
	} else {
		dst[end-1] = byte('0' + n)
	}
	return dst
}

// digits is how many digits a number has.
func digits(n uint64) int {
	// 1233/4096 is a little more than the logarithm of 2 to the base 10.
	d := (bits.Len64(n|1) * 1233) >> 12
	if n|1 >= powers[d] {
		d++
	}
	return d
}

// powers are those of ten.
var powers = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()
