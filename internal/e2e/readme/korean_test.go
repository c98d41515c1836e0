package readme_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The Korean README has the same blocks, headings with the same anchors, tables of the same size, links and pictures.
func TestKorean(t *testing.T) {
	english, korean := parse("README.md", read(t, "README.md")), parse("README.ko.md", read(t, "README.ko.md"))
	type part struct{ Language, Text string }
	blocks := func(d document) (found []part) {
		for _, b := range d.blocks {
			found = append(found, part{b.language, b.text})
		}
		return found
	}
	if diff := cmp.Diff(blocks(english), blocks(korean)); diff != "" {
		t.Errorf("blocks (-English +Korean):\n%s", diff)
	}
	type head struct {
		Level  int
		Anchor string
	}
	heads := func(d document) (found []head) {
		for _, h := range d.headings {
			found = append(found, head{h.level, h.anchor()})
		}
		return found
	}
	if diff := cmp.Diff(heads(english), heads(korean)); diff != "" {
		t.Errorf("headings (-English +Korean); a Korean heading begins with <a id=\"the English anchor\"></a>:\n%s", diff)
	}
	// How many columns each row of a table has, and what its first cell shows in code.
	rows := func(d document) (found []string) {
		for _, line := range d.prose {
			if strings.HasPrefix(line, "|") {
				cells := strings.Split(line, " | ")
				code := ""
				if parts := strings.Split(cells[0], "`"); len(parts) == 3 {
					code = parts[1]
				}
				found = append(found, strings.Repeat("|", len(cells))+code)
			}
		}
		return found
	}
	if diff := cmp.Diff(rows(english), rows(korean)); diff != "" {
		t.Errorf("tables (-English +Korean):\n%s", diff)
	}
	same := strings.NewReplacer("README.ko.md", "README.md")
	links := func(d document) map[string]int {
		found := map[string]int{}
		for _, link := range targets(d) {
			found[same.Replace(link)]++
		}
		return found
	}
	if diff := cmp.Diff(links(english), links(korean)); diff != "" {
		t.Errorf("links and pictures (-English +Korean):\n%s", diff)
	}
	for i, h := range korean.headings {
		if h.text == english.headings[i].text && h.text != "grpc-sse" {
			t.Errorf("not translated: %s", h.text)
		}
	}
}
