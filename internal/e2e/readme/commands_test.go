package readme_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notRun are commands of sh blocks that the test cannot run, with the reason. Each is checked in another way.
var notRun = map[string]struct {
	reason string
	check  func(t *testing.T)
}{
	"make demo": {"it takes the documented ports; the blocks after it run against `grpc-sse demo` on free ones", func(t *testing.T) {
		if does := makes(t, "demo"); does != "go build -o bin/grpc-sse ./cmd/grpc-sse\nexec bin/grpc-sse demo" {
			t.Errorf("make demo runs %q", does)
		}
	}},
	"make test": {"it runs this test", func(t *testing.T) {
		if does := makes(t, "test"); !strings.Contains(does, "gotestsum") {
			t.Errorf("make test runs %q", does)
		}
	}},
	"go install github.com/grpc-sse/grpc-sse/cmd/grpc-sse@latest": {"it fetches what is published", func(t *testing.T) {
		list := exec.Command("go", "list", "github.com/grpc-sse/grpc-sse/cmd/grpc-sse")
		list.Dir = root
		if out, err := list.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", list, err, out)
		}
	}},
}

// makes is what make would run for a target.
func makes(t *testing.T, target string) string {
	t.Helper()
	dry := exec.Command("make", "--no-print-directory", "-n", target)
	dry.Dir = root
	out, err := dry.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", dry, err, out)
	}
	return strings.TrimSpace(string(out))
}

// reader is somebody who does what the README says, from its top to its end.
type reader struct {
	t      *testing.T
	dir    string // where commands run and files are written
	env    []string
	demo   demo
	orders *orders
	served *process // `grpc-sse serve`
	serves string   // and where it listens
	seen   bindings
}

// addresses are what the README says and what is so here, in pairs.
func (r *reader) addresses() []string {
	pairs := []string{
		"127.0.0.1:9090", r.demo.backend,
		"127.0.0.1:8081", r.demo.bridge,
		"localhost:50051", r.orders.address,
	}
	if r.serves != "" {
		pairs = append(pairs, "127.0.0.1:8080", r.serves)
	}
	return pairs
}

// here makes a text of the README one that fits this machine.
func (r *reader) here(text string) string {
	return strings.NewReplacer(r.addresses()...).Replace(r.seen.apply(text))
}

// there makes what was printed here what would be printed there.
func (r *reader) there(text string) string {
	pairs := r.addresses()
	for i := 0; i < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = pairs[i+1], pairs[i]
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

var routesAt = regexp.MustCompile(`Routes at http://(\S+)`)

// run runs one command of a console block, and compares what it prints.
func (r *reader) run(c command) error {
	serve := strings.HasPrefix(c.text, "grpc-sse serve ")
	line := r.here(c.text)
	if serve {
		if r.served != nil {
			r.served.stop()
		}
		r.serves = ""
		line += " --listen 127.0.0.1:0 --admin off"
	}
	p := start(r.t, r.dir, r.env, "exec "+line)
	compare := func(printed string) error {
		if m := routesAt.FindStringSubmatch(printed); m != nil && serve {
			r.serves = m[1]
		}
		return r.seen.match(c.output, r.there(printed))
	}
	if strings.HasSuffix(c.output, "\n…\n") {
		// It may go on for ever.
		if err := p.await(compare); err != nil {
			return err
		}
		if serve {
			r.served = p
		} else {
			p.stop()
		}
		return nil
	}
	printed, err := p.end()
	return errors.Join(err, compare(printed))
}

// shell runs one command of an sh block: in the tree, but nothing is left there.
func (r *reader) shell(c command) error {
	if known, ok := notRun[c.text]; ok {
		r.t.Logf("README.md:%d: %s is not run: %s", c.line, c.text, known.reason)
		known.check(r.t)
		return nil
	}
	line, kept := strings.CutPrefix(c.text, "go build -o bin/")
	if !kept {
		return fmt.Errorf("what to do with this command? Add it to notRun with a reason, or run it")
	}
	printed, err := start(r.t, absolute(r.t, root), nil, "go build -o "+r.dir+"/bin/"+line).end()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, printed)
	}
	return nil
}

// yaml writes a file that names itself in its first line.
func (r *reader) yaml(b block) error {
	name, ok := strings.CutPrefix(strings.SplitN(b.text, "\n", 2)[0], "# ")
	if !ok || name != filepath.Base(name) {
		return errors.New("the first line of a yaml block is a comment with the file's name")
	}
	return os.WriteFile(filepath.Join(r.dir, name), []byte(r.here(b.text)), 0o600)
}

func (r *reader) follow(b block) {
	r.t.Helper()
	at := fmt.Sprintf("%s:%d", b.file, b.line)
	switch b.language {
	case "console", "sh":
		do := r.run
		if b.language == "sh" {
			do = r.shell
		}
		for _, c := range b.commands() {
			if err := do(c); err != nil {
				r.t.Errorf("%s:%d: %s: %v", b.file, c.line, c.text, err)
			}
		}
	case "yaml":
		if err := r.yaml(b); err != nil {
			r.t.Errorf("%s: %v", at, err)
		}
	case "proto":
		r.orders.learn(r.t, b.text)
	case "js": // TestJavaScript
	case "mermaid": // a picture
	default:
		r.t.Errorf("%s: a block of %q: nothing tests it", at, b.language)
	}
}

func newReader(t *testing.T) *reader {
	t.Helper()
	bin := tools(t)
	return &reader{
		t: t, dir: t.TempDir(), env: environment(bin), seen: bindings{},
		demo: startDemo(t, bin), orders: startOrders(t),
	}
}

func TestCommands(t *testing.T) {
	r := newReader(t)
	found := parse("README.md", read(t, "README.md")).blocks
	if len(found) < 10 {
		t.Fatalf("only %d blocks were found", len(found))
	}
	for _, b := range found {
		r.follow(b)
	}
}

// The commands in docs/ are run as well. They are against the demo, and may show only the beginning of what is printed.
func TestDocsCommands(t *testing.T) {
	r := newReader(t)
	for _, name := range pages(t) {
		if !strings.HasPrefix(name, "docs/") {
			continue
		}
		r.seen = bindings{}
		for _, b := range parse(name, read(t, name)).blocks {
			if b.language != "console" {
				continue
			}
			for _, c := range b.commands() {
				c.output = strings.TrimSuffix(strings.TrimRight(c.output, "\n"), "\n…") + "\n…\n"
				if err := r.run(c); err != nil {
					t.Errorf("%s:%d: %s: %v", name, c.line, c.text, err)
				}
			}
		}
	}
}
