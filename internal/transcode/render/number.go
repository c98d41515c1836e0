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
	case abs < 1<<53 && n == math.Trunc(n) && (n != 0 || !math.Signbit(n)) && bitSize == 64:
		return strconv.AppendInt(dst, int64(n), 10)
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

// appendDigits appends a number with leading zeros.
func appendDigits(dst []byte, n uint64, digits int) []byte {
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
