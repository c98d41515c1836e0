package readme_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mentioned matches a command of ours in running text or in a block: `grpc-sse serve --flag`, `make target`.
var (
	mentionedOurs = regexp.MustCompile("(?:^|`|\\$ |\\s)grpc-sse ([a-z]+)((?: [^`|\\n]*)?)")
	mentionedMake = regexp.MustCompile("(?:`|\\$ |^)make ([a-z0-9]+)")
	mentionedFlag = regexp.MustCompile(`(?:^|[\s` + "`" + `(])--([a-z][a-z_-]+)`)
	helpFlag      = regexp.MustCompile(`--([a-z][a-z-]+)`)
)

// foreign are flags of other programs that the pages name.
var foreign = map[string]string{
	"include_imports": "protoc",
}

// help is what `grpc-sse VERB --help` says, "" for an unknown verb.
type help map[string]string

func (h help) of(t *testing.T, bin, verb string) string {
	t.Helper()
	if text, ok := h[verb]; ok {
		return text
	}
	out, err := exec.Command(filepath.Join(bin, "grpc-sse"), verb, "--help").CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	h[verb] = string(out)
	if err != nil || !strings.Contains(string(out), "grpc-sse "+verb) {
		h[verb] = ""
	}
	return h[verb]
}

func has(help, flag string) bool {
	for _, m := range helpFlag.FindAllStringSubmatch(help, -1) {
		if m[1] == flag {
			return true
		}
	}
	return false
}

// Verbs, flags and make targets that the pages name exist.
func TestMentionedCommandsExist(t *testing.T) {
	bin, known := tools(t), help{}
	verbs := []string{"serve", "routes", "tail", "demo", "version", "completion"}
	seen := 0
	for _, name := range pages(t) {
		for i, line := range strings.Split(read(t, name), "\n") {
			for _, m := range mentionedOurs.FindAllStringSubmatch(line, -1) {
				verb, rest := m[1], m[2]
				text := known.of(t, bin, verb)
				if !strings.Contains(m[0], "`") && !strings.Contains(m[0], "$ ") && text == "" {
					continue // "grpc-sse stands in front of": a sentence
				}
				seen++
				if text == "" {
					t.Errorf("%s:%d: there is no grpc-sse %s", name, i+1, verb)
					continue
				}
				for _, f := range mentionedFlag.FindAllStringSubmatch(rest, -1) {
					if !has(text, f[1]) {
						t.Errorf("%s:%d: grpc-sse %s has no --%s", name, i+1, verb, f[1])
					}
				}
			}
			for _, m := range mentionedFlag.FindAllStringSubmatch(line, -1) {
				found := foreign[m[1]] != ""
				for _, verb := range verbs {
					found = found || has(known.of(t, bin, verb), m[1])
				}
				if seen++; !found {
					t.Errorf("%s:%d: no command has --%s", name, i+1, m[1])
				}
			}
			for _, m := range mentionedMake.FindAllStringSubmatch(line, -1) {
				seen++
				if makes(t, m[1]) == "" {
					t.Errorf("%s:%d: make %s does nothing", name, i+1, m[1])
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d commands and flags were found: this test looks at the wrong thing", seen)
	}
}
