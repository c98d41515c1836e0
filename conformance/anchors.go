package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	anchor  = regexp.MustCompile(`<a id="([a-z0-9-]+)"></a>\[([a-z0-9-]+)\]`)
	inside  = regexp.MustCompile(`\]\(#([^)]+)\)`)
	heading = regexp.MustCompile(`^#+ (.*)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 -]`)
)

// Anchors reads the names of the rules out of docs/protocol.md, in order. Rules are list items and rows of tables below
// the document's first section; problems are those that have no name or one that another rule has, names that differ from
// what is shown, and links to nowhere.
func Anchors(document string) (names, problems []string) {
	complain := func(line int, format string, a ...any) {
		problems = append(problems, fmt.Sprintf("line %d: %s", line+1, fmt.Sprintf(format, a...)))
	}
	var targets []string
	rules, fenced := false, false
	lines := strings.Split(document, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			rules = rules || strings.HasPrefix(line, "## ")
			targets = append(targets, slug(m[1]))
		}
		found := anchor.FindAllStringSubmatch(line, -1)
		for _, m := range found {
			if m[1] != m[2] {
				complain(i, "the anchor is %q, and shown is [%s]", m[1], m[2])
			}
			if slices.Contains(names, m[1]) {
				complain(i, "a second rule with the name %q", m[1])
			}
			names = append(names, m[1])
		}
		if rules && isRule(lines, i) && len(found) == 0 {
			complain(i, "a rule without a name: %s", line)
		}
	}
	targets = append(targets, names...)
	for i, line := range lines {
		for _, m := range inside.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(targets, m[1]) {
				complain(i, "a link to #%s, which is not there", m[1])
			}
		}
	}
	return names, problems
}

// isRule reports whether line i is a list item, or a row of a table that is not its head.
func isRule(lines []string, i int) bool {
	line := lines[i]
	if strings.HasPrefix(line, "- ") {
		return true
	}
	isHead := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|--")
	return strings.HasPrefix(line, "| ") && !isHead
}

// slug is the anchor that GitHub gives a heading.
func slug(title string) string {
	return strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}
