package render

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain has the bytes that stand for themselves in a JSON string, whatever is around them.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

// appendText appends text as a JSON string, in which <, >, &, U+2028 and U+2029 are escaped, too. It reports false for
// text that is not UTF-8.
func appendText(dst, text []byte) ([]byte, bool) {
	start := len(dst) + 1
	end := start + len(text)
	if end >= cap(dst) {
		return appendRest(append(dst, '"'), text)
	}
	dst = dst[:end+1]
	dst[start-1] = '"'
	if n := copyPlain(dst[start:end], text); n < len(text) {
		return appendRest(dst[:start+n], text[n:])
	}
	dst[end] = '"'
	return dst, true
}

// appendRest appends the rest of a JSON string, whatever is in it, and its end.
func appendRest(dst, text []byte) ([]byte, bool) {
	for {
		dst = slices.Grow(dst, len(text)+1)
		start := len(dst)
		n := copyPlain(dst[start:start+len(text)], text)
		dst = dst[:start+n]
		if n == len(text) {
			return append(dst, '"'), true
		}
		text = text[n:]
		if text[0] < utf8.RuneSelf {
			dst = appendEscape(dst, text[0])
			text = text[1:]
			continue
		}
		n, ok := foreignPrefix(text)
		dst = append(dst, text[:n]...)
		if !ok {
			return dst, false
		}
		if text = text[n:]; len(text) > 0 && text[0] >= utf8.RuneSelf { // U+2028, U+2029
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[text[2]&15])
			text = text[3:]
		}
	}
}

// appendEscape appends an ASCII character that may not stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}

// foreignPrefix is the length of text up to the first ASCII character, U+2028 or U+2029. It reports false where it
// stops because what follows is not UTF-8.
func foreignPrefix(text []byte) (int, bool) {
	i := 0
	for i < len(text) && text[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i, false
		}
		if r == '\u2028' || r == '\u2029' {
			break
		}
		i += n
	}
	return i, true
}

// copyPlain copies text to dst, which has at least its length, up to the first byte that is not plain, and returns how
// much that is; what is then behind it is undefined. It takes many bytes at once, and the last may overlap those before.
func copyPlain(dst, text []byte) int {
	last := len(text) - 16
	if last < 0 {
		return copyShort(dst, text)
	}
	i := 0
	if len(text) >= 64 {
		i = copyBlocks(dst, text)
	}
	for ; ; i = min(i+16, last) {
		from, to := (*[16]byte)(text[i:i+16]), (*[16]byte)(dst[i:i+16])
		a, b := binary.LittleEndian.Uint64(from[:8]), binary.LittleEndian.Uint64(from[8:])
		binary.LittleEndian.PutUint64(to[:8], a)
		binary.LittleEndian.PutUint64(to[8:], b)
		if (special(a)|special(b))&highs != 0 {
			return i + plainOf(a, b, 8)
		}
		if i == last {
			return len(text)
		}
	}
}

// copyBlocks copies blocks of 32 bytes as long as all of them are plain, and at least 16 bytes are left. It returns how
// much that is.
func copyBlocks(dst, text []byte) int {
	dst = dst[:len(text)]
	i := 0
	for ; i < len(text)-48; i += 32 {
		from, to := (*[32]byte)(text[i:i+32]), (*[32]byte)(dst[i:i+32])
		a, b := binary.LittleEndian.Uint64(from[:8]), binary.LittleEndian.Uint64(from[8:])
		binary.LittleEndian.PutUint64(to[:8], a)
		binary.LittleEndian.PutUint64(to[8:], b)
		odd := special(a) | special(b)
		a, b = binary.LittleEndian.Uint64(from[16:]), binary.LittleEndian.Uint64(from[24:])
		binary.LittleEndian.PutUint64(to[16:], a)
		binary.LittleEndian.PutUint64(to[24:], b)
		odd |= special(a) | special(b)
		if odd&highs != 0 {
			break
		}
	}
	return i
}

// copyShort is copyPlain for text of fewer than 16 bytes.
func copyShort(dst, text []byte) int {
	n := len(text)
	dst = dst[:n]
	if n < 4 {
		for i, c := range text {
			if !plain[c] {
				return i
			}
			dst[i] = c
		}
		return n
	}
	var a, b uint64
	second := n - 8
	if n >= 8 {
		a, b = binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[second:])
		binary.LittleEndian.PutUint64(dst, a)
		binary.LittleEndian.PutUint64(dst[second:], b)
	} else {
		second = n - 4
		c, d := binary.LittleEndian.Uint32(text), binary.LittleEndian.Uint32(text[second:])
		binary.LittleEndian.PutUint32(dst, c)
		binary.LittleEndian.PutUint32(dst[second:], d)
		a, b = uint64(c)|spaces, uint64(d)|spaces
	}
	if (special(a)|special(b))&highs != 0 {
		return plainOf(a, b, second)
	}
	return n
}

// plainOf is how many bytes are plain of two words that are not all plain, of which the second is at a place.
func plainOf(a, b uint64, second int) int {
	if odd := special(a) & highs; odd != 0 {
		return bits.TrailingZeros64(odd) >> 3
	}
	return second + bits.TrailingZeros64(special(b)&highs)>>3
}

// Every byte of a word, and its upper half full of spaces.
const (
	ones   = 0x0101010101010101
	highs  = 0x8080808080808080
	spaces = 0x2020202000000000
)

// special has the highest bit of the first byte that is not plain set, and that of none where all eight are. Its other
// bits mean nothing.
//
// x - ones borrows in a byte that is zero: that, or a byte that has its highest bit set, shows in that bit. Bytes behind
// the first may show by a borrow from it; so only the first counts. Two characters that differ in one bit are looked
// for at once, with the bit set in both.
func special(x uint64) uint64 {
	control := x - ones*' '
	quote := (x | ones*4) ^ ones*'&' // " and &
	angle := (x | ones*2) ^ ones*'>' // < and >
	slash := x ^ ones*'\\'
	return control | (quote - ones) | (angle - ones) | (slash - ones)
}
