package archtest_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	module = "github.com/grpc-sse/grpc-sse"
	root   = "../.."
)

// rules are the two tables of ARCHITECTURE.md.
type rules struct {
	order   []rule   // a package may import what stands before it
	outside []string // may import anything; only tests may import them
}

type rule struct {
	dir  string
	only []string // nil: everything above
}

// row matches a line of a table whose first cell is one path in backquotes.
var (
	row  = regexp.MustCompile("^\\| `([a-z0-9/]+)` \\|")
	code = regexp.MustCompile("`([^`]+)`")
)

// parseRules reads the tables under "## Packages". The first has three columns, the second two.
func parseRules(text string) (rules, error) {
	_, text, ok := strings.Cut(text, "\n## Packages\n")
	if !ok {
		return rules{}, fmt.Errorf("no heading \"## Packages\"")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var r rules
	for line := range strings.Lines(text) {
		first := row.FindStringSubmatch(line)
		if first == nil {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch len(cells) {
		case 2:
			r.outside = append(r.outside, first[1])
		case 3:
			next := rule{dir: first[1]}
			switch may := strings.TrimSpace(cells[2]); may {
			case "above":
			case "nothing":
				next.only = []string{}
			default:
				for _, m := range code.FindAllStringSubmatch(may, -1) {
					next.only = append(next.only, m[1])
				}
				if next.only == nil {
					return rules{}, fmt.Errorf("%s: %q is neither `above` nor `nothing` nor names packages", next.dir, may)
				}
			}
			r.order = append(r.order, next)
		default:
			return rules{}, fmt.Errorf("%s: %d columns, want 2 or 3", first[1], len(cells))
		}
	}
	if len(r.order) == 0 || len(r.outside) == 0 {
		return rules{}, fmt.Errorf("a table is missing: %d packages in order, %d outside it", len(r.order), len(r.outside))
	}
	return r, nil
}

// within reports whether the folder dir is parent or lies in it.
func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// rank is the place in the order of the table's package that dir belongs to, -1 for none.
func (r rules) rank(dir string) int {
	return slices.IndexFunc(r.order, func(p rule) bool { return within(dir, p.dir) })
}

func (r rules) isOutside(dir string) bool {
	return slices.ContainsFunc(r.outside, func(p string) bool { return within(dir, p) })
}

// check says what is wrong with the package in dir, which is in a table, importing the module's package in target; ""
// for nothing.
func (r rules) check(dir, target string) string {
	if r.isOutside(dir) {
		return ""
	}
	if r.isOutside(target) {
		return fmt.Sprintf("%s imports %s, which only tests may", dir, target)
	}
	from, to := r.rank(dir), r.rank(target)
	switch only := r.order[from].only; {
	case to < 0:
		return fmt.Sprintf("%s imports %s, which is in neither table of ARCHITECTURE.md", dir, target)
	case to == from:
		return ""
	case to > from:
		return fmt.Sprintf("%s imports %s, which stands below it", dir, target)
	case only != nil && !slices.Contains(only, r.order[to].dir):
		return fmt.Sprintf("%s imports %s, but may import only %q", dir, target, only)
	}
	return ""
}

// violations checks every Go file of the tree that is not a test. Tests may import what they like: what they need
// to script a backend stands below what they test.
func violations(r rules, tree fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "node_modules"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() && name != ".":
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
			return nil
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if !r.isOutside(dir) && r.rank(dir) < 0 {
			found = append(found, fmt.Sprintf("%s: %s is in neither table of ARCHITECTURE.md: give it a line", name, dir))
			return nil
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			target, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			if problem := r.check(dir, target); problem != "" {
				found = append(found, name+": "+problem)
			}
		}
		return nil
	})
	return found, err
}

func TestImportsFollowTheOrder(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRules(string(text))
	if err != nil {
		t.Fatalf("ARCHITECTURE.md: %v", err)
	}
	found, err := violations(r, os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range found {
		t.Error(problem)
	}
}

// The test above would pass on an empty tree, too; this one shows that each kind of violation is found.
func TestViolationsAreFound(t *testing.T) {
	const text = `
## Packages

| package | its one job | may import |
|---|---|---|
| ` + "`internal/low`" + ` | a | nothing |
| ` + "`internal/mid`" + ` | b | above |
| ` + "`internal/top`" + ` | c | ` + "`internal/mid`" + ` |

| package | its one job |
|---|---|
| ` + "`internal/proof`" + ` | d |

## After

| ` + "`internal/ignored`" + ` | e | above |
`
	r, err := parseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	file := func(imports ...string) *fstest.MapFile {
		src := "package p\n"
		for _, i := range imports {
			src += fmt.Sprintf("import _ %q\n", module+"/"+i)
		}
		return &fstest.MapFile{Data: []byte(src)}
	}
	tree := fstest.MapFS{
		"internal/low/ok.go":            file("internal/low/sub"),
		"internal/low/sub/bad.go":       file("internal/mid"),
		"internal/mid/ok.go":            file("internal/low/sub"),
		"internal/mid/bad_outside.go":   file("internal/proof/x"),
		"internal/mid/ok_test.go":       file("internal/top", "internal/proof"),
		"internal/top/bad_only.go":      file("internal/low", "internal/mid"),
		"internal/proof/ok.go":          file("internal/top"),
		"internal/new/bad_unlisted.go":  file(),
		"internal/mid/bad_target.go":    file("internal/new"),
		"internal/mid/testdata/skip.go": file("internal/top"),
	}
	got, err := violations(r, tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"internal/low/sub/bad.go: internal/low/sub imports internal/mid, which stands below it",
		"internal/mid/bad_outside.go: internal/mid imports internal/proof/x, which only tests may",
		"internal/mid/bad_target.go: internal/mid imports internal/new, which is in neither table of ARCHITECTURE.md",
		"internal/new/bad_unlisted.go: internal/new is in neither table of ARCHITECTURE.md: give it a line",
		`internal/top/bad_only.go: internal/top imports internal/low, but may import only ["internal/mid"]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
