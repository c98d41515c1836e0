package readme_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// bindings are what stands for the ids that a document shows, by the parts that vary: where the document shows the same
// one again, in output or in a command, it must be the same again.
type bindings map[string]string

// varying matches the parts of shown output that are never the same twice: ids and positions (1), marks (2), checks of
// ends (3), ends of snapshots (4), cursors of the backend's, delays, times, and the ellipsis for what is left out.
var varying = regexp.MustCompile(`\b([0-9]{16})\b(?:\.([A-Za-z0-9_-]{16})|\.([A-Za-z0-9_-]{5})\.end)?` +
	`|~s([0-9]{16})|~c[A-Za-z0-9_-]+|retry: [0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|(?m:^…\n)|…`)

const position, mark, check = `([0-9]{13,16})`, `\.([A-Za-z0-9_-]{16})`, `\.([A-Za-z0-9_-]{5})\.end`

// pattern is the regular expression for output that a document shows, and the varying part that each of its groups
// stands for.
func pattern(shown string) (*regexp.Regexp, []string) {
	shown = strings.TrimRight(shown, "\n") + "\n"
	var expression strings.Builder
	var names []string
	at := 0
	for _, m := range varying.FindAllStringSubmatchIndex(shown, -1) {
		expression.WriteString(regexp.QuoteMeta(shown[at:m[0]]))
		at = m[1]
		switch found := shown[m[0]:m[1]]; {
		case found == "…\n":
			expression.WriteString(`(?:.*\n)*?`)
		case found == "…":
			expression.WriteString(`.*?`)
		case m[2] >= 0:
			expression.WriteString(position)
			names = append(names, shown[m[2]:m[3]])
			if m[4] >= 0 {
				expression.WriteString(mark)
				names = append(names, shown[m[4]:m[5]])
			}
			if m[6] >= 0 {
				expression.WriteString(check)
				names = append(names, shown[m[6]:m[7]])
			}
		case m[8] >= 0:
			expression.WriteString("~s" + position)
			names = append(names, shown[m[8]:m[9]])
		case strings.HasPrefix(found, "~c"):
			expression.WriteString(`~c[A-Za-z0-9_-]+`)
		case strings.HasPrefix(found, "retry"):
			expression.WriteString(`retry: [0-9]{4,5}`)
		default:
			expression.WriteString(`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+(?:\.[0-9]+)?Z`)
		}
	}
	expression.WriteString(regexp.QuoteMeta(shown[at:]))
	return regexp.MustCompile(`\A` + expression.String() + `\z`), names
}

// match compares what was printed with what is shown, and remembers what stands for what.
func (b bindings) match(shown, printed string) error {
	p, names := pattern(shown)
	printed = strings.TrimRight(strings.ReplaceAll(printed, "\r", ""), "\n") + "\n"
	m := p.FindStringSubmatch(printed)
	if m == nil {
		return fmt.Errorf("printed\n%s\nwhere the document shows\n%s", printed, shown)
	}
	for i, name := range names {
		if had, ok := b[name]; ok && had != m[i+1] {
			return fmt.Errorf("%s in the document stands for %s and for %s, printed as\n%s", name, had, m[i+1], printed)
		}
		b[name] = m[i+1]
	}
	return nil
}

// apply puts what was printed before into a command that the document shows.
func (b bindings) apply(text string) string {
	for name, value := range b {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

func TestMatch(t *testing.T) {
	const id = "1795315325930417.kY7xlhTBzwmJfJZ0"
	for _, test := range []struct {
		name, shown, printed string
		matches              bool
	}{
		{"the same", "a\nb\n", "a\nb\n", true},
		{"empty lines at the end", "a\n", "a\n\n", true},
		{"another line", "a\nb\n", "a\nc\n", false},
		{"a line more", "a\n", "a\nb\n", false},
		{"an id", "id: " + id + "\n", "id: 1111111111111111.-bcdefghijklmno_\n", true},
		{"no id", "id: " + id + "\n", "id: none\n", false},
		{"the same id twice", id + "\n" + id + "\n", "1111111111111111.abcdefghijklmnop\n1111111111111111.abcdefghijklmnop\n", true},
		{"another id", id + "\n" + id + "\n", "1111111111111111.abcdefghijklmnop\n1111111111111112.abcdefghijklmnop\n", false},
		{"another mark", id + "\n" + id + "\n", "1111111111111111.abcdefghijklmnop\n1111111111111111.Abcdefghijklmnop\n", false},
		{"a position", id + "\n{\"oldest\":1795315325930417}\n", "1111111111111111.abcdefghijklmnop\n{\"oldest\":2222222222222222}\n", false},
		{"an end", "id: 1795315325930421.ig4ge.end\n", "id: 1111111111111111.12345.end\n", true},
		{"an end that is none", "id: 1795315325930421.ig4ge.end\n", "id: 1111111111111111.123456.end\n", false},
		{"a snapshot", "id: " + id + "~s1795315325930417\n", "id: 1111111111111111.abcdefghijklmnop~s1111111111111111\n", true},
		{"another snapshot", "id: " + id + "~s1795315325930417\n", "id: 1111111111111111.abcdefghijklmnop~s1111111111111112\n", false},
		{"a backend's cursor", "id: " + id + "~cabcdeAQ\n", "id: 1111111111111111.abcdefghijklmnop~cxyz\n", true},
		{"no backend's cursor", "id: " + id + "~cabcdeAQ\n", "id: 1111111111111111.abcdefghijklmnop\n", false},
		{"a delay", "retry: 2000\n", "retry: 3999\n", true},
		{"a time", "at 2026-11-22T02:42:05.930Z\n", "at 2027-01-02T03:04:05Z\n", true},
		{"left out in a line", "a…z\n", "abcz\n", true},
		{"left out, over lines", "a…z\n", "ab\ncz\n", false},
		{"lines left out", "a\n…\nz\n", "a\nb\nc\nz\n", true},
		{"no lines left out", "a\n…\nz\n", "a\nz\n", true},
		{"the rest left out", "a\n…\n", "a\nb\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := (bindings{}).match(test.shown, test.printed); (err == nil) != test.matches {
				t.Errorf("%q for %q: %v", test.printed, test.shown, err)
			}
		})
	}
}

func TestApply(t *testing.T) {
	b := bindings{}
	if err := b.match("id: 1795315325930417.kY7xlhTBzwmJfJZ0\n", "id: 1111111111111111.abcdefghijklmnop\n"); err != nil {
		t.Fatal(err)
	}
	if got := b.apply("curl -H 'Last-Event-ID: 1795315325930417.kY7xlhTBzwmJfJZ0' url"); got != "curl -H 'Last-Event-ID: 1111111111111111.abcdefghijklmnop' url" {
		t.Error(got)
	}
}
