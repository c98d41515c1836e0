package report

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/template"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

//go:embed performance.md.tmpl
var pageText string

var page = template.Must(template.New("performance.md").Parse(pageText))

// data is what the page is made of.
type data struct {
	Full, Micro *part // Micro may be nil
}

// part is one run.
type part struct {
	*result.Run
	Scenarios []section // in place of the run's
	Rest      []bench   // figures that belong to no scenario
}

// section is one scenario.
type section struct{ *view }

func newPart(run *result.Run) *part {
	run = readable(run)
	p := &part{Run: run}
	for _, s := range run.Scenarios {
		if v := newView(run, s); v.rounds() > 0 {
			p.Scenarios = append(p.Scenarios, section{v})
		}
	}
	p.Rest = rest(run)
	return p
}

// Rounds is how often most was measured.
func (p *part) Rounds() int {
	rounds := 0
	for _, s := range p.Scenarios {
		rounds = max(rounds, s.rounds())
	}
	return rounds
}

// compared are the others of which the summary has a column.
var compared = []string{"nchan", "grpc-gateway", "go-ring", "kernel"}

// Summary is a table of all budgets: what it is, our figure, those of others, met or not.
func (p *part) Summary() string {
	var t table
	t.row(slices.Concat([]string{"", ours}, compared, []string{"budget", ""})...)
	t.align("lr" + strings.Repeat("r", len(compared)) + "rl")
	for _, s := range p.Scenarios {
		for _, metric := range s.shown() {
			row, budget, ok := s.budget(metric)
			if !ok {
				row = s.ours(metric)
			}
			name := fmt.Sprintf("[%s](#%s): %s", s.Title, anchor(s.Title), metric)
			cells := []string{name, "**" + withUnit(row.Median(), row.Unit) + "**"}
			for _, other := range compared {
				cells = append(cells, figure(p.Find(s.Name, other, metric).Median()))
			}
			if ok {
				cells = append(cells, sign(row.Better)+" "+withUnit(budget, row.Unit), verdict(p.Run, row))
			} else {
				cells = append(cells, "", "")
			}
			t.row(cells...)
		}
	}
	return t.String()
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ', r == '-', r == '_':
			b.WriteRune(map[bool]rune{true: '-', false: r}[r == ' '])
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}

func verdict(run *result.Run, row result.Row) string {
	switch met, ok := run.Met(row); {
	case !ok:
		return "not measured"
	case met:
		return "met"
	default:
		return "**missed**"
	}
}

// ours is the bridge's row of a metric.
func (v *view) ours(metric string) result.Row {
	for _, row := range v.of(metric) {
		if isOurs(row.Target) {
			return row
		}
	}
	return result.Row{Values: nil}
}

// Budgets says of each budget of the scenario whether it is met.
func (s section) Budgets() string {
	var said []string
	for _, metric := range s.metrics {
		for _, row := range s.of(metric) {
			budget, ok := s.run.Budget(row)
			if !ok {
				continue
			}
			text := fmt.Sprintf("%s %s %s", metric, sign(row.Better), withUnit(budget, row.Unit))
			text += origin(row)
			switch met, measured := s.run.Met(row); {
			case !measured:
				text += ": not measured"
			case met:
				text += fmt.Sprintf(": met, with %s", withUnit(row.Median(), row.Unit))
			default:
				text += fmt.Sprintf(": **missed**, with %s", withUnit(row.Median(), row.Unit))
			}
			said = append(said, text)
		}
	}
	if said == nil {
		return ""
	}
	return "Budget: " + strings.Join(said, "; ") + "."
}

// origin says what a budget is made from.
func origin(row result.Row) string {
	var parts []string
	for _, r := range []*result.Relative{row.Relative, row.Also} {
		switch {
		case r == nil:
		case r.Times < 1:
			parts = append(parts, fmt.Sprintf("1/%s of %s", figure(1/r.Times), r.Target))
		default:
			parts = append(parts, fmt.Sprintf("%s × %s", figure(r.Times), r.Target))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// Table has a row for each target and a column for each metric.
func (s section) Table() string {
	var t table
	head := []string{""}
	for i, metric := range s.metrics {
		name := metric
		if unit := s.of(metric)[0].Unit; unit != "" && !strings.HasPrefix(unit, "/") {
			name += ", " + unit
		}
		head = append(head, name)
		if i == 0 {
			head = append(head, "vs grpc-sse")
		}
	}
	t.row(head...)
	t.align("l" + strings.Repeat("r", len(head)-1))
	for _, target := range s.targets {
		cells := []string{target}
		for i, metric := range s.metrics {
			row := s.run.Find(s.Name, target, metric)
			cells = append(cells, cell(row))
			switch {
			case i > 0:
			case isOurs(target):
				cells = append(cells, "")
			default:
				cells = append(cells, times(row.Median(), s.reference(metric)))
			}
		}
		if isOurs(target) {
			for i := range cells {
				if cells[i] != "" {
					cells[i] = "**" + cells[i] + "**"
				}
			}
		}
		t.row(cells...)
	}
	return t.String()
}

// cell is a median with its spread.
func cell(row result.Row) string {
	if math.IsNaN(row.Median()) {
		return "–"
	}
	return strings.TrimSuffix(figure(row.Median())+" ("+spread(row)+")", " ()")
}

// Notes are what has to be known of single rows, each once with the targets that it is about.
func (s section) Notes() []string {
	var notes []string
	about := make(map[string][]string)
	for _, row := range s.rows {
		if row.Note == "" {
			continue
		}
		if about[row.Note] == nil {
			notes = append(notes, row.Note)
		}
		if !slices.Contains(about[row.Note], row.Target) {
			about[row.Note] = append(about[row.Note], row.Target)
		}
	}
	for i, note := range notes {
		who := strings.Join(about[note], ", ")
		if len(about[note]) == len(s.targets) {
			who = "All"
		}
		notes[i] = who + ": " + note
	}
	return notes
}

// table is one of Markdown's.
type table struct{ lines []string }

func (t *table) row(cells ...string) {
	t.lines = append(t.lines, "| "+strings.Join(cells, " | ")+" |")
}

// align is the line below the first: a letter for each column, l or r.
func (t *table) align(columns string) {
	t.lines = append(t.lines, strings.NewReplacer("l", "|---", "r", "|--:").Replace(columns)+"|")
}

func (t *table) String() string { return strings.Join(t.lines, "\n") }
