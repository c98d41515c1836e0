package conformance_test

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/conformance"
)

// TestEveryRuleHasACase fails for a rule of the protocol that no case proves, and for a case of a rule that is not there.
func TestEveryRuleHasACase(t *testing.T) {
	document, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, problems := conformance.Anchors(string(document))
	for _, problem := range problems {
		t.Errorf("docs/protocol.md: %s", problem)
	}
	cases, _, err := conformance.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range missing(rules, cases) {
		t.Error(problem)
	}
	if len(rules) < 100 {
		t.Errorf("only %d rules were found: is the document's form another one?", len(rules))
	}
}

func missing(rules []string, cases []conformance.Case) []string {
	var problems []string
	proved := map[string]bool{}
	for _, c := range cases {
		for _, name := range c.Anchors {
			proved[name] = true
			if !slices.Contains(rules, name) {
				problems = append(problems, "case "+c.Name+": docs/protocol.md has no rule ["+name+"]")
			}
		}
	}
	for _, name := range rules {
		if !proved[name] {
			problems = append(problems, "docs/protocol.md: no case proves ["+name+"]")
		}
	}
	return problems
}

// The test above would pass on an empty document, too; this one shows that it can fail.
func TestMissingIsFound(t *testing.T) {
	got := missing([]string{"proved", "alone"}, []conformance.Case{{Name: "c", Anchors: []string{"proved", "gone"}}})
	want := []string{"case c: docs/protocol.md has no rule [gone]", "docs/protocol.md: no case proves [alone]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnchors(t *testing.T) {
	names, problems := conformance.Anchors(`# Title

- [a list of sections](#rules)

## Rules

- <a id="one"></a>[one] A rule.
- <a id="two"></a>[too] Shown under another name.
- A rule without a name.
- <a id="one"></a>[one] The same name again.

| head | head |
|---|---|
| <a id="row"></a>[row] | a row, see [one](#one) and [nothing](#nowhere) |
| nameless | row |

` + "```\n- <a id=\"code\"></a>[code] no rule\n```\n")
	if diff := cmp.Diff([]string{"one", "two", "one", "row"}, names); diff != "" {
		t.Errorf("names: %s", diff)
	}
	want := []string{
		`line 8: the anchor is "two", and shown is [too]`,
		"line 9: a rule without a name: - A rule without a name.",
		`line 10: a second rule with the name "one"`,
		"line 15: a rule without a name: | nameless | row |",
		"line 14: a link to #nowhere, which is not there",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("problems: %s", diff)
	}
}
