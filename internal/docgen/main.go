// Command docgen writes docs/options.md: every field of the method option and of the config file with its comment from
// the proto. It reads a serialized FileDescriptorSet with source info (`buf build proto -o -`) from its standard input
// and writes Markdown to its standard output.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// documented are the files that become parts of the page, in this order.
var documented = []struct{ path, title, intro string }{
	{
		"grpcsse/v1/stream.proto", "The method option",
		"Set in a proto as `option (grpcsse.v1.stream) = { … };`, or in the config file as a rule's `stream`.",
	},
	{
		"grpcsse/config/v1/config.proto", "The config file",
		"YAML or JSON, given as `--config FILE`. [`Config`](#config) is the whole file. Durations are written `30s`, enum values by name.",
	},
}

const preamble = `<!-- Code generated from the comments in proto/ by internal/docgen. DO NOT EDIT. -->

# Options

What can be set, and what holds where nothing is.
`

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout io.Writer) error {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		return fmt.Errorf("standard input is no FileDescriptorSet: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return err
	}
	p := page{Buffer: bytes.NewBufferString(preamble)}
	for _, d := range documented {
		file, err := files.FindFileByPath(d.path)
		if err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
		fmt.Fprintf(p, "\n## %s\n\n%s\n", d.title, d.intro)
		p.file(file)
	}
	if p.err != nil {
		return p.err
	}
	_, err = p.WriteTo(stdout)
	return err
}

// page collects the text, and the first thing that has no comment.
type page struct {
	*bytes.Buffer
	err error
}

func (p *page) file(file protoreflect.FileDescriptor) {
	for i := range file.Messages().Len() {
		m := file.Messages().Get(i)
		fmt.Fprintf(p, "\n### `%s`\n\n%s\n\n| field | type | |\n|---|---|---|\n", m.Name(), p.comment(m))
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			fmt.Fprintf(p, "| `%s` | %s | %s%s |\n", f.Name(), typeOf(f), p.cell(f), choice(f))
		}
	}
	for i := range file.Enums().Len() {
		e := file.Enums().Get(i)
		fmt.Fprintf(p, "\n### `%s`\n\n%s\n\n| value | |\n|---|---|\n", e.Name(), p.comment(e))
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			fmt.Fprintf(p, "| `%s` | %s |\n", v.Name(), p.cell(v))
		}
	}
}

// comment is d's leading comment as Markdown. What has none is an error: an option without a word is no option.
func (p *page) comment(d protoreflect.Descriptor) string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, " ")
	}
	text = strings.Join(lines, "\n")
	if text == "" && p.err == nil {
		p.err = fmt.Errorf("%s has no comment", d.FullName())
	}
	return text
}

// cell is d's comment on one line of a table.
func (p *page) cell(d protoreflect.Descriptor) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(p.comment(d)), " "), "|", "\\|")
}

// choice says of a field in a oneof what it excludes.
func choice(f protoreflect.FieldDescriptor) string {
	oneof := f.ContainingOneof()
	if oneof == nil || oneof.IsSynthetic() {
		return ""
	}
	var others []string
	for i := range oneof.Fields().Len() {
		if other := oneof.Fields().Get(i); other != f {
			others = append(others, "`"+string(other.Name())+"`")
		}
	}
	return " Excludes " + strings.Join(others, ", ") + "."
}

// typeOf is f's type in words: a link where the page or protobuf's own documentation describes it.
func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map of %s to %s", typeOf(f.MapKey()), typeOf(f.MapValue()))
	case f.IsList():
		return "list of " + element(f)
	}
	return element(f)
}

func element(f protoreflect.FieldDescriptor) string {
	var d protoreflect.Descriptor
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		d = f.Message()
	case protoreflect.EnumKind:
		d = f.Enum()
	default:
		return f.Kind().String()
	}
	switch d.FullName() {
	case "google.protobuf.Duration":
		return "duration"
	case "google.api.HttpRule":
		return "[`google.api.HttpRule`](https://github.com/googleapis/googleapis/blob/master/google/api/http.proto)"
	}
	return fmt.Sprintf("[`%s`](#%s)", d.Name(), strings.ToLower(string(d.Name())))
}
