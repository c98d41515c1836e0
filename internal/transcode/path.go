package transcode

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// variable is one variable of a path template.
type variable struct {
	name     string
	path     fieldPath
	segments int // how many its value has; 0 is any number
}

func newVariable(md protoreflect.MessageDescriptor, name string, segments int) (variable, error) {
	v := variable{name: name, segments: segments}
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			if md = v.path.last().Message(); md == nil || v.path.last().Cardinality() == protoreflect.Repeated {
				return v, fmt.Errorf("in the variable {%s}, %q is no message", name, v.path)
			}
		}
		fd := findField(md, part)
		if fd == nil {
			return v, fmt.Errorf("the variable {%s} is no field: %s has no field %q", name, md.FullName(), part)
		}
		v.path = append(v.path, fd)
	}
	if v.path.last().Cardinality() == protoreflect.Repeated {
		return v, fmt.Errorf("the variable {%s} is repeated: a path has one value for it", name)
	}
	return v, nil
}

// bindPath sets the variables' fields. It returns which fields are taken.
func (b *Binder) bindPath(m protoreflect.Message, values map[string]string, v *violations) []fieldPath {
	taken := make([]fieldPath, 0, len(b.variables)+1)
	for _, variable := range b.variables {
		taken = append(taken, variable.path)
		text := values[variable.name]
		if problem := variable.check(text); problem != "" {
			v.add(variable.name, "%s", problem)
			continue
		}
		parent, other, ok := enter(m, variable.path)
		if !ok {
			v.add(variable.name, "is set by the path, but the body sets %q, and only one of the two may be set", other.TextName())
			continue
		}
		fd := variable.path.last()
		value, err := parseValue(fd, text, func() protoreflect.Value { return parent.NewField(fd) }, b.types)
		if err != nil {
			v.add(variable.name, "%s", err)
			continue
		}
		parent.Set(fd, value)
	}
	return taken
}

// check says what is wrong with a path's text, if anything.
func (v variable) check(text string) string {
	switch {
	case text == "":
		return "is empty in the path: give it a value"
	case !utf8.ValidString(text):
		return "is not valid UTF-8 in the path"
	case strings.IndexByte(text, 0) >= 0:
		return "holds a NUL character in the path"
	}
	segments := strings.Split(text, "/")
	for i, s := range segments {
		switch {
		case s == ".." || s == ".":
			return fmt.Sprintf("holds the path segment %q, which stands for another path", s)
		case s == "" && i == len(segments)-1:
			return "ends in an empty path segment: take the last slash away, or add what is missing after it"
		case s == "":
			return "holds an empty path segment"
		}
	}
	if n := len(segments); n != v.segments && v.segments > 0 {
		return fmt.Sprintf("has %d path segments, and the route takes %d: a slash inside a value cannot be given in the path", n, v.segments)
	}
	return ""
}
