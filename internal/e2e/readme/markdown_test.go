package readme_test

import (
	"regexp"
	"strings"
)

// block is one fenced block of code.
type block struct {
	file, language string
	line           int // of the opening fence
	text           string
}

// heading is one heading.
type heading struct {
	level int
	id    string // of an explicit <a id="…"> in front of its text; else empty
	text  string
}

// document is what tests look at in a Markdown file.
type document struct {
	blocks   []block
	headings []heading
	prose    []string // the lines outside of blocks
}

var headingForm = regexp.MustCompile(`^(#+) (?:<a id="([^"]+)"></a>)?(.*)$`)

// parse reads a Markdown file as far as ours use Markdown: fences begin and end at the start of a line.
func parse(file, text string) document {
	var d document
	var open *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{file: file, language: fence, line: i + 1}
		case isFence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			d.prose = append(d.prose, line)
			if m := headingForm.FindStringSubmatch(line); m != nil {
				d.headings = append(d.headings, heading{level: len(m[1]), id: m[2], text: m[3]})
			}
		}
	}
	return d
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchor is the fragment by which GitHub links to a heading.
func (h heading) anchor() string {
	if h.id != "" {
		return h.id
	}
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(h.text), ""), " ", "-")
}

// command is one command of a console block, and what it prints.
type command struct {
	line   int
	text   string
	output string // as the document shows it
}

// commands are those of a block of the kind console (each after a dollar, what it prints below) or sh (one a line).
func (b block) commands() []command {
	var found []command
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		text, prompted := strings.CutPrefix(line, "$ ")
		switch {
		case prompted || b.language == "sh":
			found = append(found, command{line: b.line + 1 + i, text: text})
		case len(found) > 0:
			found[len(found)-1].output += line + "\n"
		}
	}
	return found
}
