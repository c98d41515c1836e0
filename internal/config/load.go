package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"buf.build/go/protoyaml"
	"go.yaml.in/yaml/v3"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// maxFileBytes bounds a config file, so that a wrong path (a log, a core dump) is told instead of read.
const maxFileBytes = 1 << 20

// Loaded is a config together with the places where its values were written.
type Loaded struct {
	// Config is the config as written: nothing checked beyond its shape, no default filled in.
	Config *configv1.Config

	file  string // where it was read from, as the user named it; empty for none
	dir   string // what relative paths in it are relative to; empty for the working directory
	where map[string]place
}

// place is where a value was written: a position in the file, or a flag.
type place struct {
	line, column int
	flag         string
}

// New returns an empty config, to be filled by flags.
func New() *Loaded {
	return &Loaded{Config: &configv1.Config{}, where: map[string]place{}}
}

// Load reads the config file at path, YAML or JSON. It finds keys that are unknown or written twice, values of the wrong
// kind, and reports all of them in one error. What the values mean is checked by Resolve, since flags may replace them.
func Load(path string) (*Loaded, error) {
	data, err := readFile(path, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read the config file: %w", err)
	}
	l, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	if l.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("read the config file: %w", err)
	}
	return l, nil
}

// Parse is Load for a file that was read already. The name is for messages.
func Parse(name string, data []byte) (*Loaded, error) {
	l := New()
	l.file = name
	root, err := parseYAML(name, data)
	if err != nil || root == nil {
		return l, err
	}
	var bad faults
	w := walker{loaded: l, bad: &bad}
	w.message(root, l.Config.ProtoReflect().Descriptor(), "")
	l.decode(data, &bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	return l, nil
}

// decode fills the config from data. Errors that the walk found already are at the same places and not repeated.
func (l *Loaded) decode(data []byte, bad *faults) {
	err := protoyaml.UnmarshalOptions{Path: "config", DiscardUnknown: true}.Unmarshal(data, l.Config)
	if err == nil {
		return
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		bad.add(l.decodeError(err))
	}
}

// decodeError takes the place out of the text of an error of protoyaml, which has it nowhere else:
// "config:LINE:COLUMN message\n" and the source line.
func (l *Loaded) decodeError(err error) *Error {
	message := err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		message = cause.Error()
	}
	var line, column int
	if _, scanErr := fmt.Sscanf(err.Error(), "config:%d:%d ", &line, &column); scanErr != nil {
		return &Error{Where: l.file, Message: message}
	}
	e := &Error{Where: l.at(line, column), Message: message, line: line, column: column}
	for field, p := range l.where {
		// Several fields can begin at one place (a list and its first item): the innermost is the one meant.
		if p.line == line && p.column == column && len(field) > len(e.Field) {
			e.Field = field
		}
	}
	return e
}

// Set records that the flag (such as --listen) wrote the field, in place of what the file says.
func (l *Loaded) Set(field, flag string) {
	for have := range l.where {
		if have == field || strings.HasPrefix(have, field+".") || strings.HasPrefix(have, field+"[") {
			delete(l.where, have)
		}
	}
	l.where[field] = place{flag: flag}
}

// fault makes the error of a field, at the nearest place that is known for it.
func (l *Loaded) fault(field, format string, args ...any) *Error {
	e := &Error{Field: field, Message: fmt.Sprintf(format, args...), Where: l.file}
	for path := field; path != ""; path = parent(path) {
		if p, ok := l.where[path]; ok {
			e.line, e.column, e.Where = p.line, p.column, p.flag
			if p.flag == "" {
				e.Where = l.at(p.line, p.column)
			}
			break
		}
	}
	return e
}

// fromFlag reports whether a flag wrote the field.
func (l *Loaded) fromFlag(field string) bool {
	for path := field; path != ""; path = parent(path) {
		if p, ok := l.where[path]; ok {
			return p.flag != ""
		}
	}
	return false
}

func (l *Loaded) at(line, column int) string {
	return fmt.Sprintf("%s:%d:%d", l.file, line, column)
}

// parent cuts the last step off a field path: a.b[0] is in a.b, which is in a.
func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		return path[:strings.LastIndex(path, `["`)]
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// oddBreak matches what YAML counts as the end of a line and editors do not.
var oddBreak = regexp.MustCompile("\r[^\n]|\r$|\u0085|\u2028|\u2029")

// yamlLine matches the prefix of the errors of the yaml package.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parseYAML returns the one document in data; nil for an empty file.
func parseYAML(name string, data []byte) (*yaml.Node, error) {
	if at := oddBreak.FindIndex(data); at != nil {
		line := strings.Count(string(data[:at[0]]), "\n") + 1
		return nil, &Error{
			Where:   name + ":" + strconv.Itoa(line),
			Message: "a line ends in neither LF nor CR LF; use one of these everywhere",
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(name, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Error{
			Where:   fmt.Sprintf("%s:%d", name, second.Line),
			Message: "a second document begins here; a config is one document",
		}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	return document.Content[0], nil
}

func syntaxError(name string, err error) error {
	e := &Error{Where: name, Message: err.Error()}
	if m := yamlLine.FindStringSubmatch(e.Message); m != nil {
		e.Message = "not YAML: " + e.Message[len(m[0]):]
		if m[1] != "" {
			e.Where += ":" + m[1]
		}
	}
	if strings.Contains(e.Message, "alphabetic or numeric") {
		e.Message += ` (a value that begins with * or & must be quoted: "*")`
	}
	return e
}

// readFile reads a regular file of at most maxBytes. Its errors show the absolute path, since a relative one is the
// usual cause.
func readFile(path string, maxBytes int64) ([]byte, error) {
	shown := path
	if abs, err := filepath.Abs(path); err == nil {
		shown = abs
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", shown, unwrapPath(err))
	case info.IsDir():
		return nil, fmt.Errorf("%s: is a folder; name a file in it", shown)
	case info.Size() > maxBytes:
		return nil, fmt.Errorf("%s: is larger than %d bytes; is it the right file?", shown, maxBytes)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, unwrapPath(err))
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", shown, unwrapPath(err))
	case int64(len(data)) > maxBytes:
		return nil, fmt.Errorf("%s: is larger than %d bytes; is it the right file?", shown, maxBytes)
	}
	return data, nil
}

// unwrapPath takes the path out of an error of the os package: the message has it already.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
