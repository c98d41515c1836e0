package schema

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// template is a path template of google.api.http:
//
//	Template = "/" Segments [ ":" LITERAL ]
//	Segments = Segment { "/" Segment }
//	Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
//
// and "/" alone. It is parsed here, although the router parses it again, because the router accepts what can never be
// meant (a variable twice, segments after **), and tells nothing about overlaps.
type template struct {
	// segments are the path's, with variables replaced by what they match.
	segments []segment
	// verb is what follows the last colon, or empty.
	verb      string
	variables []variable
}

type segment struct {
	kind segmentKind
	text string // of a literal
}

// segmentKind is what a segment matches. Larger is more specific.
type segmentKind int

const (
	deep      segmentKind = iota // **: any number of segments, none included
	noSegment                    // the path has ended
	star                         // *: one segment
	literal
)

// variable binds part of the path to a field.
type variable struct {
	field string // dotted path of proto names
	// segments is how many path segments it takes; 0 means any number.
	segments int
}

// parseTemplate parses and checks a template. The error says what is wrong, not in which template.
func parseTemplate(text string) (template, error) {
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return template{}, errors.New(`a path begins with "/"`)
	}
	if rest == "" {
		return template{segments: []segment{{kind: literal}}}, nil
	}
	rest, verb, err := cutVerb(rest)
	if err != nil {
		return template{}, err
	}
	t := template{verb: verb}
	for more := true; more; {
		var err error
		if rest, more, err = t.parseSegment(rest); err != nil {
			return template{}, err
		}
	}
	for _, s := range t.segments[:len(t.segments)-1] {
		if s.kind == deep {
			return template{}, errors.New(`"**" can only be the last segment`)
		}
	}
	return t, nil
}

// cutVerb splits ":verb" off. After a variable the verb begins at the first colon, after anything else at the last:
// this is how the router reads it.
func cutVerb(path string) (rest, verb string, err error) {
	last := strings.LastIndexAny(path, "}/") + 1
	colon := strings.LastIndexByte(path[last:], ':')
	if last > 0 && path[last-1] == '}' {
		colon = strings.IndexByte(path[last:], ':')
	}
	if colon < 0 {
		return path, "", nil
	}
	rest, verb = path[:last+colon], path[last+colon+1:]
	if err := checkLiteral(verb); err != nil {
		return "", "", fmt.Errorf("the verb after the colon: %w", err)
	}
	return rest, verb, nil
}

// parseSegment takes one segment, which may be a variable of several, off the front. It returns the rest after the
// slash, and whether there was one.
func (t *template) parseSegment(path string) (rest string, more bool, err error) {
	if !strings.HasPrefix(path, "{") {
		text, rest, more := strings.Cut(path, "/")
		s, err := parseSimple(text)
		t.segments = append(t.segments, s)
		return rest, more, err
	}
	inner, rest, ok := strings.Cut(path[1:], "}")
	if !ok {
		return "", false, errors.New(`a "{" has no "}"`)
	}
	if err := t.parseVariable(inner); err != nil {
		return "", false, err
	}
	if rest == "" {
		return "", false, nil
	}
	rest, ok = strings.CutPrefix(rest, "/")
	if !ok {
		return "", false, errors.New(`a "}" is followed by "/", by ":" or by nothing`)
	}
	return rest, true, nil
}

// parseVariable takes what stands between braces.
func (t *template) parseVariable(inner string) error {
	field, pattern, ok := strings.Cut(inner, "=")
	if !ok {
		pattern = "*"
	}
	for name := range strings.SplitSeq(field, ".") {
		if !isIdentifier(name) {
			return fmt.Errorf("%q is not the name of a field", field)
		}
	}
	if slices.ContainsFunc(t.variables, func(v variable) bool { return v.field == field }) {
		return fmt.Errorf("variable %q is there twice", field)
	}
	v := variable{field: field}
	for text := range strings.SplitSeq(pattern, "/") {
		s, err := parseSimple(text)
		if err != nil {
			return fmt.Errorf("variable %q: %w", field, err)
		}
		t.segments = append(t.segments, s)
		v.segments++
	}
	if t.segments[len(t.segments)-1].kind == deep {
		v.segments = 0
	}
	t.variables = append(t.variables, v)
	return nil
}

// parseSimple parses a segment that is no variable.
func parseSimple(text string) (segment, error) {
	switch text {
	case "*":
		return segment{kind: star}, nil
	case "**":
		return segment{kind: deep}, nil
	case ".", "..":
		return segment{}, fmt.Errorf("a segment %q never arrives: clients resolve it", text)
	}
	return segment{kind: literal, text: text}, checkLiteral(text)
}

// checkLiteral accepts what RFC 3986 lets stand in a path segment, without "*", which would only look like a wildcard,
// and without percent-encoding, which the router compares with the decoded path and so never finds.
func checkLiteral(text string) error {
	if text == "" {
		return errors.New("a segment is empty")
	}
	for _, r := range text {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-._~!$&'()+,;=:@", r):
		case r == '*':
			return fmt.Errorf(`%q: "*" stands for a whole segment and cannot be part of one`, text)
		case r == '%':
			return fmt.Errorf("%q: percent-encoded characters are not matched: use plain ones", text)
		default:
			return fmt.Errorf("%q: the character %q cannot stand in a path", text, r)
		}
	}
	return nil
}

func isIdentifier(name string) bool {
	for i, r := range name {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case '0' <= r && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return name != ""
}

// key is equal for two templates exactly when they match the same paths: it is the template without its variables.
// `/a:v` and `/{x=a:v}` have one key too.
func (t *template) key() string {
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		switch s.kind {
		case star:
			b.WriteString("*")
		case deep:
			b.WriteString("**")
		default:
			b.WriteString(s.text)
		}
	}
	if t.verb != "" {
		b.WriteString(":" + t.verb)
	}
	return b.String()
}

// compareSpecificity orders a before b (negative) when a is less specific: segment by segment ** < end < * < literal,
// then by the verb's length (`:a:b` is more specific than `:b`, any verb more than none). If every path of one
// template is matched by another, the first is the more specific; a template never hides another.
func compareSpecificity(a, b *template) int {
	for i := range max(len(a.segments), len(b.segments)) {
		if c := cmp.Compare(a.kindAt(i), b.kindAt(i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.verb), len(b.verb))
}

func (t *template) kindAt(i int) segmentKind {
	if i < len(t.segments) {
		return t.segments[i].kind
	}
	return noSegment
}
