// Package routetable prints what a bridge serves, and what it does not, for people.
package routetable

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// width is the column that lists and commands are broken before, in characters. One long word may go beyond it.
const width = 100

// Write prints the table in one call of w: for each method its name, whether it streams, its HTTP verbs and paths, its
// event types and a curl command; then each method that was left out, why, and the flag that exposes it. The base URL
// is that of the bridge, such as http://127.0.0.1:8080. There are no colours and no characters that steer a terminal.
func Write(w io.Writer, t *schema.Table, baseURL string) error {
	p := &printer{base: strings.TrimRight(baseURL, "/")}
	methods := t.Methods()
	p.several = slices.ContainsFunc(methods, func(m *schema.Method) bool { return m.Upstream != methods[0].Upstream })
	if len(methods) == 0 {
		p.line("Nothing is served.")
	} else {
		p.line("Routes at %s", p.base)
	}
	for _, m := range methods {
		p.method(m)
	}
	p.leftOut(t.LeftOut())
	_, err := w.Write(p.buf.Bytes())
	return err
}

type printer struct {
	buf     bytes.Buffer
	base    string
	several bool // several upstreams: say which
}

// line writes one line. Names and templates come from a backend: nothing in them may reach the terminal as a command.
func (p *printer) line(format string, args ...any) {
	text := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, fmt.Sprintf(format, args...))
	p.buf.WriteString(text)
	p.buf.WriteByte('\n')
}

func (p *printer) method(m *schema.Method) {
	kind := "unary"
	switch {
	case m.ClientStreaming && m.ServerStreaming:
		kind = "bidirectional stream"
	case m.ClientStreaming:
		kind = "client stream"
	case m.ServerStreaming:
		kind = "stream"
	}
	if p.several {
		kind += ", upstream " + m.Upstream
	}
	p.line("")
	p.line("  %s  (%s)", strings.TrimPrefix(m.Path, "/"), kind)
	column := p.paths(m.Bindings)
	if m.ClientStreaming {
		p.line("    answers 501: a browser cannot send a stream")
		return
	}
	if m.ServerStreaming {
		p.words(fmt.Sprintf("    %-*s  ", column, "events"), eventTypes(m))
		for _, kept := range kept(&m.Stream) {
			p.line("    %-*s  %s", column, kept.label, kept.text)
		}
	}
	if b := sample(m); b != nil {
		p.command(command(m, b, p.base))
	}
}

// note is a line about a method: a word, and what it says.
type note struct{ label, text string }

// kept says what is unusual about how a stream is kept: who shares it, and by which cursor of the backend's it goes on.
func kept(s *schema.Stream) []note {
	var notes []note
	begins := map[schema.Start]string{
		schema.StartLive: "the next event", schema.StartEarliest: "the oldest event kept",
	}
	if s.Key != nil {
		begins[schema.StartLatestPerKey] = "the newest event of each " + s.Key.String()
	}
	switch s.Share {
	case schema.ShareNone:
	case schema.SharePrincipal:
		notes = append(notes, note{"shared", "by the requests of one principal; from " + begins[s.Start]})
	case schema.SharePublic:
		notes = append(notes, note{"shared", "by everybody; from " + begins[s.Start]})
	}
	if s.Resume != nil {
		notes = append(notes, note{"cursor", fmt.Sprintf("%s, handed back in %s", s.Resume.Event, s.Resume.Request)})
	}
	return notes
}

// eventTypes are the types that are known, or where they come from.
func eventTypes(m *schema.Method) []string {
	types := m.EventTypes()
	if len(types) == 0 && m.Stream.Event.Field != nil {
		return []string{fmt.Sprintf("the value of the field %q", m.Stream.Event.Field.Name())}
	}
	return types
}

// paths writes a line for each path, with all verbs that it has, and returns how wide the column of the verbs is.
func (p *printer) paths(bindings []*schema.Binding) int {
	verbs := map[string]string{}
	var templates []string
	column := len("events")
	for _, b := range bindings {
		if verbs[b.Template] == "" {
			templates = append(templates, b.Template)
			verbs[b.Template] = b.Verb
		} else {
			verbs[b.Template] += "|" + b.Verb
		}
		column = max(column, len(verbs[b.Template]))
	}
	for _, template := range templates {
		p.line("    %-*s  %s", column, verbs[template], template)
	}
	return column
}

// words writes a list, broken into lines of the width.
func (p *printer) words(head string, words []string) {
	line, indent := head, strings.Repeat(" ", len(head))
	for i, word := range words {
		if i < len(words)-1 {
			word += ", "
		}
		if len(line) > len(head) && len(line)+len(strings.TrimRight(word, " ")) > width {
			p.line("%s", strings.TrimRight(line, " "))
			line = indent
		}
		line += word
	}
	p.line("%s", line)
}

// command writes a shell command, in two lines where one would be too long.
func (p *printer) command(options, url string) {
	if len(options)+len(url)+5 <= width {
		p.line("    %s %s", options, url)
		return
	}
	p.line("    %s \\", options)
	p.line("      %s", url)
}

func (p *printer) leftOut(left []schema.LeftOut) {
	if len(left) == 0 {
		return
	}
	p.line("")
	p.line("Left out")
	for _, l := range left {
		reason := l.Reason
		if p.several {
			reason += " (upstream " + l.Upstream + ")"
		}
		p.line("  %s: %s", slashed(l.Method), reason)
		if l.Flag != "" {
			p.line("    %s", l.Flag)
		}
	}
}

// slashed writes a method's name as its path and the flags have it: pkg.Service/Method.
func slashed(method protoreflect.FullName) string {
	return string(method.Parent()) + "/" + string(method.Name())
}
