package transcode

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxPathDepth is how many names a query parameter's key may have.
const maxPathDepth = 32

// parameter is a query parameter that names a field.
type parameter struct {
	key    string // as the client wrote it
	path   fieldPath
	entry  string // the map key in brackets
	values []string
}

// bindQuery sets the fields that query parameters name. taken are the fields that the path has set; bound by the path
// or the body, a field cannot be set once more.
func (b *Binder) bindQuery(m protoreflect.Message, query url.Values, taken []fieldPath, v *violations) {
	set := setFields{leaves: make(map[string]string), around: make(map[string]string)}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if strings.HasPrefix(key, "_") || len(query[key]) == 0 {
			continue
		}
		if v.full() {
			return
		}
		p, problem := b.parameter(key, query[key])
		if problem == "" {
			problem = b.conflict(p, taken)
		}
		if problem == "" {
			problem = set.add(p)
		}
		if problem == "" {
			problem = b.setParameter(m, p)
		}
		if problem != "" {
			v.add(key, "%s", problem)
		}
	}
}

// setFields are the fields that the query has set so far, each with the key that set it: a field can be named in two
// spellings, and neither is to win by chance.
type setFields struct {
	leaves map[string]string // the fields themselves
	around map[string]string // the messages that they are in
}

// add adds p's field, or says what has set it already.
func (s setFields) add(p parameter) string {
	leaf := p.path.String()
	other, twice := s.around[leaf]
	for i := range p.path[:len(p.path)-1] {
		outer := p.path[:i+1].String()
		if by, ok := s.leaves[outer]; ok {
			other, twice = by, true
		}
		s.around[outer] = p.key
	}
	if p.path.last().IsMap() {
		leaf += "[" + p.entry
	}
	if by, ok := s.leaves[leaf]; ok {
		other, twice = by, true
	}
	if twice {
		return fmt.Sprintf("is set twice: %q sets the same field", clip(other, maxShown))
	}
	s.leaves[leaf] = p.key
	return ""
}

// parameter finds the field that a key names.
func (b *Binder) parameter(key string, values []string) (p parameter, problem string) {
	p = parameter{key: key, values: values}
	if b.body == bodyIsAll {
		return p, "unknown query parameter: this route takes its fields from the JSON body, none from the query"
	}
	name, entry, isEntry := cutEntry(key)
	parts := strings.Split(name, ".")
	if len(parts) > maxPathDepth {
		return p, fmt.Sprintf("unknown query parameter: it names more than %d fields inside each other", maxPathDepth)
	}
	md := b.input.Descriptor()
	for i, part := range parts {
		fd := findField(md, part)
		if fd == nil {
			prefix := name[:len(name)-len(strings.Join(parts[i:], "."))]
			return p, "unknown query parameter: " + suggestField(md, prefix, part)
		}
		p.path = append(p.path, fd)
		if i == len(parts)-1 {
			break
		}
		if md = fd.Message(); md == nil || fd.Cardinality() == protoreflect.Repeated {
			return p, fmt.Sprintf("unknown query parameter: %q has no fields inside it, it is %s", p.path, describe(fd))
		}
	}
	switch fd := p.path.last(); {
	case fd.IsMap() && !isEntry:
		return p, fmt.Sprintf("is a map: write %s[KEY]=VALUE", name)
	case fd.IsList() && isEntry:
		return p, fmt.Sprintf("is a list: repeat %s=VALUE for each element, without brackets", name)
	case isEntry && !fd.IsMap():
		return p, "has a key in brackets, which only maps have"
	}
	p.entry = entry
	return p, ""
}

// cutEntry cuts the brackets off "map[key]". Names of fields have no brackets, keys of maps may.
func cutEntry(key string) (name, entry string, ok bool) {
	name, rest, ok := strings.Cut(key, "[")
	if !ok || !strings.HasSuffix(rest, "]") {
		return key, "", false
	}
	return name, rest[:len(rest)-1], true
}

// conflict says whether the path or the body sets the parameter's field.
func (b *Binder) conflict(p parameter, taken []fieldPath) string {
	for _, t := range taken {
		if t.covers(p.path) || p.path.covers(t) {
			return "is set by the path and cannot be set by the query too"
		}
	}
	if b.body == bodyIsField && p.path[0].Number() == b.bodyField.Number() {
		return "is set by the body and cannot be set by the query too"
	}
	return ""
}

// setParameter sets a parameter's field.
func (b *Binder) setParameter(m protoreflect.Message, p parameter) string {
	for _, s := range p.values {
		if !utf8.ValidString(s) {
			return "is not valid UTF-8"
		}
	}
	parent, other, ok := enter(m, p.path)
	if !ok {
		return fmt.Sprintf("%q is set as well, and only one of the two may be set", other.TextName())
	}
	fd := p.path.last()
	if fd.IsList() {
		return b.setList(parent.Mutable(fd).List(), p)
	}
	if len(p.values) > 1 {
		return fmt.Sprintf("is given %d times, and takes one value", len(p.values))
	}
	if fd.IsMap() {
		return b.setEntry(parent.Mutable(fd).Map(), p)
	}
	value, err := parseValue(fd, p.values[0], func() protoreflect.Value { return parent.NewField(fd) }, b.types)
	if err != nil {
		return err.Error()
	}
	parent.Set(fd, value)
	return ""
}

func (b *Binder) setList(list protoreflect.List, p parameter) string {
	for i, s := range p.values {
		value, err := parseValue(p.path.last(), s, list.NewElement, b.types)
		if err != nil {
			if len(p.values) == 1 {
				return err.Error()
			}
			return fmt.Sprintf("value %d: %s", i+1, err)
		}
		list.Append(value)
	}
	return ""
}

func (b *Binder) setEntry(entries protoreflect.Map, p parameter) string {
	fd := p.path.last()
	if !utf8.ValidString(p.entry) {
		return "the key in brackets is not valid UTF-8"
	}
	key, err := parseValue(fd.MapKey(), p.entry, nil, b.types)
	if err != nil {
		return "the key in brackets: " + err.Error()
	}
	if entries.Has(key.MapKey()) {
		return "is set twice: the same key was given in another spelling"
	}
	value, err := parseValue(fd.MapValue(), p.values[0], entries.NewValue, b.types)
	if err != nil {
		return err.Error()
	}
	entries.Set(key.MapKey(), value)
	return ""
}
