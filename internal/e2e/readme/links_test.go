package readme_test

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are the Markdown files for users.
func pages(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(docs) == 0 {
		t.Fatalf("docs: %q, %v", docs, err)
	}
	found := []string{"README.md", "README.ko.md", "ARCHITECTURE.md", "CHANGELOG.md"}
	for _, name := range docs {
		found = append(found, "docs/"+filepath.Base(name))
	}
	return found
}

// target matches where a link or a picture points to. A part of a code span that looks like one is not matched: no link
// of ours has a backquote between its brackets and its target.
var target = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"|(?m:^\[[^\]]+\]: (\S+)$)`)

func targets(d document) []string {
	var found []string
	for _, m := range target.FindAllStringSubmatch(strings.Join(d.prose, "\n"), -1) {
		found = append(found, m[1]+m[2]+m[3])
	}
	return found
}

// explicit matches an anchor that is written into a page.
var explicit = regexp.MustCompile(`<a id="([^"]+)">`)

func anchors(d document) []string {
	var found []string
	for _, h := range d.headings {
		found = append(found, h.anchor())
	}
	for _, m := range explicit.FindAllStringSubmatch(strings.Join(d.prose, "\n"), -1) {
		found = append(found, m[1])
	}
	return found
}

func TestLinks(t *testing.T) {
	for _, name := range pages(t) {
		for _, link := range targets(parse(name, read(t, name))) {
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Scheme != "" {
				continue // others' pages: a test that asks the network would fail when they are away
			}
			to := name
			if u.Path != "" {
				to = path.Join(path.Dir(name), u.Path)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s: %v", name, link, err)
			} else if u.Fragment != "" && !slices.Contains(anchors(parse(to, read(t, to))), u.Fragment) {
				t.Errorf("%s links to %s: %s has no such heading", name, link, to)
			}
		}
	}
}
