package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// document is a request body that protojson has refused. protojson stops at the first fault and often does not say in
// which field; a document is walked once more to find them all. It never decides whether a body is good.
type document struct {
	text  []byte // valid JSON
	types *dynamicpb.Types
}

// maxExplained is how deep faults are looked for: each level reads its part of the text again.
const maxExplained = 20

// member is one member of a JSON object, or one element of an array.
type member struct {
	name  []byte // with its quotes; nil in an array
	value []byte // a part of the document's text
}

// position says where in the text an offset is.
func (d document) position(offset int) string {
	before := d.text[:max(0, min(offset, len(d.text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// at says where in the text part is, which must be a part of it.
func (d document) at(part []byte) string {
	return d.position(cap(d.text) - cap(part))
}

// members takes an object or array apart.
func (d document) members(text []byte) []member {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	var list []member
	for dec.More() {
		var m member
		if text[0] == '{' {
			before := int(dec.InputOffset())
			if _, err := dec.Token(); err != nil {
				return list
			}
			// In front of the name there is nothing but white space and a comma.
			m.name = text[before:dec.InputOffset()]
			m.name = m.name[max(0, bytes.IndexByte(m.name, '"')):]
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return list
		}
		end := int(dec.InputOffset())
		m.value = text[end-len(raw) : end]
		list = append(list, m)
	}
	return list
}

// message explains what is wrong with a message's JSON. path is where the message is, "" for the whole body.
func (d document) message(md protoreflect.MessageDescriptor, text []byte, path string, depth int, v *violations) {
	if hasOwnJSON(md) || depth > maxExplained {
		return
	}
	if text[0] != '{' {
		what := path
		if path == "" {
			what = "the request body"
		}
		v.add(path, "%s: %s must be %s, got %s", d.at(text), what, describeMessage(md), excerpt(text))
		return
	}
	seen := make(map[protoreflect.FieldNumber]bool)
	cases := make(map[protoreflect.Name]string)
	for _, m := range d.members(text) {
		if v.full() {
			return
		}
		var name string
		_ = json.Unmarshal(m.name, &name) // it is valid JSON
		inside := join(path, name)
		fd := findField(md, name)
		switch {
		case fd == nil && strings.HasPrefix(name, "["):
			d.try(md, m, inside, "an extension of "+string(md.FullName()), v)
			continue
		case fd == nil:
			v.add(inside, "%s: unknown field %q: %s", d.at(m.name), clip(name, maxShown), suggestField(md, joinPrefix(path), name))
			continue
		case seen[fd.Number()]:
			v.add(inside, "%s: the field is set twice", d.at(m.name))
			continue
		}
		seen[fd.Number()] = true
		if od := fd.ContainingOneof(); od != nil && !isNull(m.value) {
			if other, ok := cases[od.Name()]; ok {
				v.add(inside, "%s: %q is set as well, and only one of the two may be set", d.at(m.name), other)
			}
			cases[od.Name()] = name
		}
		d.fieldAt(fd, m, inside, depth, v)
	}
}

// field explains what is wrong with a field's JSON.
func (d document) field(fd protoreflect.FieldDescriptor, m member, path string, v *violations) {
	if m.name == nil {
		m.name = appendQuoted(nil, fd.JSONName())
	}
	d.fieldAt(fd, m, path, 0, v)
}

func (d document) fieldAt(fd protoreflect.FieldDescriptor, m member, path string, depth int, v *violations) {
	switch {
	case isNull(m.value) && !d.refuses(fd.ContainingMessage(), m):
	case fd.IsList():
		if m.value[0] != '[' {
			v.add(path, "%s: want an array, each element %s, got %s", d.at(m.value), describe(fd), excerpt(m.value))
			return
		}
		for i, element := range d.members(m.value) {
			if v.full() {
				return
			}
			inside := path + "[" + strconv.Itoa(i) + "]"
			d.element(fd, fd, member{m.name, slices.Concat([]byte("["), element.value, []byte("]"))}, element.value, inside, depth, v)
		}
	case fd.IsMap():
		if m.value[0] != '{' {
			v.add(path, "%s: want an object, each value %s, got %s", d.at(m.value), describe(fd.MapValue()), excerpt(m.value))
			return
		}
		d.mapEntries(fd, m, path, depth, v)
	case fd.Message() != nil && !hasOwnJSON(fd.Message()):
		d.message(fd.Message(), m.value, path, depth+1, v)
	default:
		d.try(fd.ContainingMessage(), m, path, describeFor(fd, m.value), v)
	}
}

func (d document) mapEntries(fd protoreflect.FieldDescriptor, m member, path string, depth int, v *violations) {
	seen := make(map[string]bool)
	for _, entry := range d.members(m.value) {
		if v.full() {
			return
		}
		var key string
		_ = json.Unmarshal(entry.name, &key)
		inside := path + "[" + strconv.Quote(clip(key, maxShown)) + "]"
		if seen[key] {
			v.add(inside, "%s: the key is set twice", d.at(entry.name))
			continue
		}
		seen[key] = true
		if _, err := parseScalar(fd.MapKey().Kind(), key); err != nil {
			v.add(inside, "%s: the key must be %s, got %s", d.at(entry.name), describe(fd.MapKey()), excerpt(entry.name))
			continue
		}
		alone := slices.Concat([]byte("{"), entry.name, []byte(":"), entry.value, []byte("}"))
		d.element(fd, fd.MapValue(), member{m.name, alone}, entry.value, inside, depth, v)
	}
}

// element explains one element of a list or value of a map. alone is the field with this element only, value the
// element in the text.
func (d document) element(field, fd protoreflect.FieldDescriptor, alone member, value []byte, path string, depth int, v *violations) {
	if fd.Message() != nil && !hasOwnJSON(fd.Message()) {
		d.message(fd.Message(), value, path, depth+1, v)
		return
	}
	if d.refuses(field.ContainingMessage(), alone) {
		v.add(path, "%s: want %s, got %s", d.at(value), describeFor(fd, value), excerpt(value))
	}
}

// try has protojson read one member of a message alone.
func (d document) try(md protoreflect.MessageDescriptor, m member, path, want string, v *violations) {
	if d.refuses(md, m) {
		v.add(path, "%s: want %s, got %s", d.at(m.value), want, excerpt(m.value))
	}
}

func (d document) refuses(md protoreflect.MessageDescriptor, m member) bool {
	o := protojson.UnmarshalOptions{AllowPartial: true, Resolver: d.types, RecursionLimit: 4 * (maxBodyDepth + 1)}
	text := slices.Concat([]byte("{"), m.name, []byte(":"), m.value, []byte("}"))
	return o.Unmarshal(text, dynamicpb.NewMessage(md)) != nil
}

// hasOwnJSON reports whether a message has a JSON form that is not an object of its fields.
func hasOwnJSON(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case anyName, "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask",
		"google.protobuf.Empty", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue":
		return true
	}
	_, ok := wrapped(md)
	return ok
}

// describeFor is describe for a JSON value, which says more of enums where it is a name.
func describeFor(fd protoreflect.FieldDescriptor, value []byte) string {
	var name string
	if fd.Enum() != nil && json.Unmarshal(value, &name) == nil {
		return describeEnum(fd.Enum(), name)
	}
	if fd.Message() != nil && fd.Message().FullName() == "google.protobuf.FieldMask" {
		return "a string of field names in lowerCamelCase with commas between them"
	}
	return describe(fd)
}

func isNull(value []byte) bool { return string(value) == "null" }

// excerpt is a JSON value as it stands, shortened.
func excerpt(value []byte) string {
	return clip(string(value[:min(len(value), 4*maxShown)]), maxShown)
}

func join(path, name string) string { return joinPrefix(path) + name }

func joinPrefix(path string) string {
	if path == "" {
		return ""
	}
	return path + "."
}
