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
	best, least := "", 0
	folded := fold(name)
	for _, c := range candidates {
		if len(c) > maxCompared {
			continue
		}
		// A candidate in name's own spelling wins over its other forms.
		d := 2 * distance(folded, fold(c))
		if strings.Contains(c, "_") != strings.Contains(name, "_") {
			d++
		}
		if best == "" || d < least {
			best, least = c, d
		}
	}
	return best
}

// isClose reports whether one name may well be a misspelling of the other.
func isClose(a, b string) bool {
	a, b = fold(a), fold(b)
	return distance(a, b) <= max(1, min(len(a), len(b))/3)
}

func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance is how many characters have to be added, taken out, replaced or swapped with their neighbour to make one
// string of the other.
func distance(a, b string) int {
	as, bs := []rune(a), []rune(b)
	before, last, row := make([]int, len(bs)+1), make([]int, len(bs)+1), make([]int, len(bs)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(as); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(bs); j++ {
			cost := 1
			if as[i-1] == bs[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && as[i-1] == bs[j-2] && as[i-2] == bs[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(bs)]
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
