package transcode

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxCompared is the length of the longest name that is compared with others, in bytes.
const maxCompared = 64

// nearest is the candidate that differs from name in the fewest characters, case and separators aside; "" where there
// is none, or name is too long to be a misspelling.
func nearest(name string, candidates []string) string {
	if len(name) > maxCompared {
		return ""
	}
	best, least := "", 2*maxCompared+2
	folded := fold(name)
	for _, c := range candidates {
		if len(c) > maxCompared {
			continue
		}
		other := fold(c)
		if 2*max(len(other)-len(folded), len(folded)-len(other)) >= least {
			continue // at least that many have to be added or taken out
		}
		// A candidate in name's own spelling wins over its other form.
		d := 2 * distance(folded, other, least/2)
		if strings.Contains(c, "_") != strings.Contains(name, "_") {
			d++
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// isClose reports whether one name may well be a misspelling of the other.
func isClose(a, b string) bool {
	a, b = fold(a), fold(b)
	limit := max(1, min(len(a), len(b))/3)
	return distance(a, b, limit) <= limit
}

// fold takes case and separators out of a name.
func fold(s string) string {
	folded := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c == '_' || c == '-':
		case 'A' <= c && c <= 'Z':
			folded = append(folded, c+'a'-'A')
		default:
			folded = append(folded, c)
		}
	}
	return string(folded)
}

// distance is how many bytes have to be added, taken out, replaced or swapped with their neighbour to make one string of
// the other. Where that is more than limit, the result is only some number above limit. Neither is longer than
// maxCompared. Names in schemas are ASCII.
func distance(a, b string, limit int) int {
	var rows [3][maxCompared + 1]int
	before, last, row := rows[0][:], rows[1][:], rows[2][:]
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		// A swap may still reach back over one row, and then costs one more.
		if least > limit+1 {
			return least
		}
	}
	return row[len(b)]
}

// fieldNames are the names under which the fields of md can be given: both of each field, where they differ.
func fieldNames(md protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		names = append(names, fd.JSONName())
		if fd.TextName() != fd.JSONName() {
			names = append(names, fd.TextName())
		}
	}
	return names
}

// maxListed is how many names a message lists.
const maxListed = 10

// suggestField says what the client may have meant by a name that md does not have. prefix stands before the field's
// name where it is nested.
func suggestField(md protoreflect.MessageDescriptor, prefix, name string) string {
	names := fieldNames(md)
	near := nearest(name, names)
	switch {
	case len(names) == 0:
		return string(md.FullName()) + " has no fields"
	case near != "" && isClose(name, near):
		return `did you mean "` + prefix + near + `"?`
	case md.Fields().Len() <= maxListed:
		return string(md.FullName()) + " has " + listFields(md, prefix)
	case near != "":
		return `the nearest field of ` + string(md.FullName()) + ` is "` + prefix + near + `"`
	default:
		return string(md.FullName()) + " has no such field"
	}
}

// listFields lists the JSON names of the fields.
func listFields(md protoreflect.MessageDescriptor, prefix string) string {
	names := make([]string, 0, md.Fields().Len())
	for i := range md.Fields().Len() {
		names = append(names, prefix+md.Fields().Get(i).JSONName())
	}
	return strings.Join(names, ", ")
}

// clip shortens a client's text for an answer, and makes it valid UTF-8.
func clip(s string, maxBytes int) string {
	if len(s) > maxBytes {
		cut := maxBytes
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
