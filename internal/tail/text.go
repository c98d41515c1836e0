package tail

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// isControl says which characters a terminal must never get from a server: they move the cursor, change the title,
// send keys, or turn text around.
func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// clean is s with control characters, line ends included, as escapes.
func clean(s string) string { return escape(s, isControl) }

// indent is clean for text of many lines: each goes on its own line, all but the first behind two spaces.
func indent(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = escape(line, func(r rune) bool { return r != '\t' && isControl(r) })
	}
	return strings.Join(lines, "\n  ")
}

func escape(s string, bad func(rune) bool) string {
	s = strings.ToValidUTF8(s, "\uFFFD") // a byte that is none may be a control character to a terminal
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if bad(r) {
			out.WriteString(strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// readable is JSON on one line, with a space behind each comma and colon and without the escapes that keep it safe in
// a page; anything else is returned as it is.
func readable(data string) string {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(data)) != nil {
		return data
	}
	var out strings.Builder
	b, inString := compact.Bytes(), false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			inString = !inString
			out.WriteByte(c)
		case c == '\\': // only in strings, and there is always one more
			n := 2
			if plain, ok := pageEscapes[string(b[i:min(i+6, len(b))])]; ok {
				out.WriteByte(plain)
				n = 6
			} else {
				out.Write(b[i : i+2])
			}
			i += n - 1
		case !inString && (c == ',' || c == ':'):
			out.WriteByte(c)
			out.WriteByte(' ')
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// pageEscapes are the characters that the bridge escapes so that its JSON can stand in a page.
var pageEscapes = map[string]byte{`\u003c`: '<', `\u003e`: '>', `\u0026`: '&'}

// round is d as people say it.
func round(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// shellQuote is s as one word of a shell.
func shellQuote(s string) string {
	if !strings.ContainsFunc(s, notIDRune) {
		return s
	}
	return "'" + strings.ReplaceAll(clean(s), "'", `'\''`) + "'"
}

// notIDRune says which characters the bridge's ids do not have; those that they have mean nothing to a shell.
func notIDRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	default:
		return !strings.ContainsRune("._~-", r)
	}
}
