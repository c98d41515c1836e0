package render

import (
	"encoding/binary"
	"math/bits"
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
	dst = append(dst, '"')
	for {
		n := plainPrefix(text)
		dst = append(dst, text[:n]...)
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

// appendPlain appends a prefix, and text as a JSON string. It appends nothing, and reports false, where text is not all
// plain or dst has no room: this is for what is the case nearly always.
func appendPlain(dst []byte, prefix string, text []byte) ([]byte, bool) {
	start := len(dst)
	end := start + len(prefix) + len(text) + 2
	if end > cap(dst) || plainPrefix(text) != len(text) {
		return dst, false
	}
	dst = dst[:end]
	start += copy(dst[start:], prefix)
	dst[start] = '"'
	copy(dst[start+1:], text)
	dst[end-1] = '"'
	return dst, true
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

// plainPrefix is the length of the prefix of text that is all plain. It looks at eight bytes at once; the last eight may
// overlap those before.
func plainPrefix(text []byte) int {
	i := 0
	if len(text) >= 8 {
		for ; i < len(text)-8; i += 8 {
			if odd := special(binary.LittleEndian.Uint64(text[i:])); odd != 0 {
				return i + bits.TrailingZeros64(odd)>>3
			}
		}
		i = len(text) - 8
		if odd := special(binary.LittleEndian.Uint64(text[i:])); odd != 0 {
			return i + bits.TrailingZeros64(odd)>>3
		}
		return len(text)
	}
	for i < len(text) && plain[text[i]] {
		i++
	}
	return i
}

// Every byte of a word.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the highest bit of the first byte that is not plain set, and none where all eight are.
//
// x - ones borrows in a byte that is zero: that, or a byte that has its highest bit set, shows in that bit. Bytes behind
// the first may show by a borrow from it; so only the first counts. Two characters that differ in one bit are looked
// for at once, with the bit set in both.
func special(x uint64) uint64 {
	control := x - ones*' '
	quote := (x | ones*4) ^ ones*'&' // " and &
	angle := (x | ones*2) ^ ones*'>' // < and >
	slash := x ^ ones*'\\'
	return (x | control | (quote - ones) | (angle - ones) | (slash - ones)) & highs
}
