package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// walker goes over a config file beside its schema. It notes where each field was written and finds what protoyaml lets
// through or reports without a way out:
//
//   - a key that is unknown (with the one that was meant) or written twice (protoyaml takes the last one);
//   - a key without a value (an empty `tls:` would switch TLS on);
//   - an alias (protoyaml calls it a wrong kind);
//   - an enum by a number or an unknown name.
type walker struct {
	loaded *Loaded
	bad    *faults
}

func (w walker) fault(node *yaml.Node, field, format string, args ...any) {
	w.bad.add(&Error{
		Where: w.loaded.at(node.Line, node.Column), Field: field, Message: fmt.Sprintf(format, args...),
		line: node.Line, column: node.Column,
	})
}

// message walks over the fields of a message. Kinds that do not fit are left to protoyaml.
func (w walker) message(node *yaml.Node, desc protoreflect.MessageDescriptor, path string) {
	if node.Kind != yaml.MappingNode {
		return
	}
	written := map[protoreflect.FieldNumber]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field := findField(desc, key.Value)
		if field == nil {
			w.unknown(key, desc, path)
			continue
		}
		name := join(path, string(field.Name()))
		if first := written[field.Number()]; first != nil {
			w.twice(key, first, name)
			continue
		}
		written[field.Number()] = key
		w.loaded.where[name] = place{line: value.Line, column: value.Column}
		w.field(value, field, name)
	}
}

func (w walker) field(value *yaml.Node, field protoreflect.FieldDescriptor, name string) {
	switch {
	case !w.hasValue(value, name):
	case field.IsMap():
		w.entries(value, field.MapValue(), name)
	case field.IsList() && value.Kind == yaml.SequenceNode:
		for i, item := range value.Content {
			element := fmt.Sprintf("%s[%d]", name, i)
			w.loaded.where[element] = place{line: item.Line, column: item.Column}
			if w.hasValue(item, element) {
				w.value(item, field, element)
			}
		}
	case !field.IsList():
		w.value(value, field, name)
	}
}

func (w walker) entries(node *yaml.Node, field protoreflect.FieldDescriptor, path string) {
	if node.Kind != yaml.MappingNode {
		return
	}
	written := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := fmt.Sprintf("%s[%q]", path, key.Value)
		if first := written[key.Value]; first != nil {
			w.twice(key, first, name)
			continue
		}
		written[key.Value] = key
		w.loaded.where[name] = place{line: value.Line, column: value.Column}
		if w.hasValue(value, name) {
			w.value(value, field, name)
		}
	}
}

func (w walker) value(node *yaml.Node, field protoreflect.FieldDescriptor, name string) {
	switch {
	case field.Message() != nil:
		w.message(node, field.Message(), name)
	case field.Enum() != nil && node.Kind == yaml.ScalarNode:
		values := field.Enum().Values()
		if values.ByName(protoreflect.Name(node.Value)) != nil {
			return
		}
		names := make([]string, values.Len())
		for i := range names {
			names[i] = string(values.Get(i).Name())
		}
		w.fault(node, name, "no value is called %q; %suse one of %s", node.Value, meant(node.Value, names),
			strings.Join(names, ", "))
	}
}

// hasValue reports whether there is something at node that protoyaml reads as it was meant.
func (w walker) hasValue(node *yaml.Node, name string) bool {
	switch {
	case node.Kind == yaml.AliasNode:
		w.fault(node, name, "an alias (*%s) stands here; write the value out", node.Value)
	case node.Tag == "!!null":
		w.fault(node, name, "has no value; give it one or leave the key out ({} is an empty section, [] an empty list)")
	default:
		return true
	}
	return false
}

func (w walker) twice(key, first *yaml.Node, name string) {
	w.fault(key, name, "is written twice, first in line %d; keep one of the two", first.Line)
}

func (w walker) unknown(key *yaml.Node, desc protoreflect.MessageDescriptor, path string) {
	names := make([]string, desc.Fields().Len())
	for i := range names {
		names[i] = string(desc.Fields().Get(i).Name())
	}
	w.fault(key, join(path, key.Value), "unknown key; %sthe keys here are %s", meant(key.Value, names),
		strings.Join(names, ", "))
}

// findField finds a field by its name in the schema (log_bytes) or in JSON (logBytes).
func findField(desc protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if field := desc.Fields().ByTextName(key); field != nil {
		return field
	}
	return desc.Fields().ByJSONName(key)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// meant guesses which of names was meant by got: `did you mean "x"? `, or nothing.
func meant(got string, names []string) string {
	fold := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	distance := func(name string) int { return editDistance(fold(got), fold(name)) }
	best := slices.MinFunc(names, func(a, b string) int { return distance(a) - distance(b) })
	if distance(best) > max(1, len(got)/3) {
		return ""
	}
	return fmt.Sprintf("did you mean %q? ", best)
}

// editDistance is how many letters have to be added, dropped or replaced to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
