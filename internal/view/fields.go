package view

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// Fields is a mask on the data of a method's events: which fields are shown. It never changes and is safe for
// concurrent use.
type Fields struct {
	whole *mask            // of data that is the whole response
	cases map[string]*mask // by event type, where data is the value of a oneof's case
}

// mask holds the fields that are shown of one message, by their names in JSON. The nil mask shows everything.
type mask struct{ fields map[string]*mask }

// NewFields reads a field mask: paths with commas between them, each of the names of fields in the proto or in JSON with
// dots between them, from the response message, or where the method's data is CASE_VALUE, from any case's message. A path
// may lead through repeated messages and then holds for each of them; through maps, and messages that are no objects of
// their fields in JSON (Timestamp, Any), it cannot. The error says which path is wrong and what may have been meant.
func NewFields(method *schema.Method, paths string) (*Fields, error) {
	f := &Fields{whole: &mask{}}
	roots := []root{{method.Output, f.whole}}
	if method.Stream.CaseValue && method.Stream.Event.Oneof != nil {
		f.cases = make(map[string]*mask)
		cases := method.Stream.Event.Oneof.Fields()
		for i := range cases.Len() {
			fd := cases.Get(i)
			name := schema.EventName(string(fd.Name()))
			// Values that are not objects of fields cannot be masked.
			f.cases[name] = nil
			if md := fd.Message(); md != nil && jsonKindOf(md) == fieldsJSON {
				f.cases[name] = &mask{}
				roots = append(roots, root{md, f.cases[name]})
			}
		}
		// The case's message is what clients see, so that errors tell of the first one.
		roots = append(roots[1:], roots[0])
	}
	for path := range strings.SplitSeq(paths, ",") {
		if err := addPath(roots, path); err != nil {
			return nil, fmt.Errorf("sse.fields: %w", err)
		}
	}
	return f, nil
}

// Beside checks the mask against the route's response_body, fd: one that hides that field whole would show its default
// in place of what the backend sent. nil is no response_body.
func (f *Fields) Beside(fd protoreflect.FieldDescriptor) error {
	if fd == nil {
		return nil
	}
	if _, ok := f.whole.fields[fd.JSONName()]; !ok {
		return fmt.Errorf("sse.fields: this route shows the field %q alone: name it, or fields inside it", fd.JSONName())
	}
	return nil
}

// root is a message that paths can begin at, and its mask.
type root struct {
	message protoreflect.MessageDescriptor
	mask    *mask
}

// addPath adds a path to the mask of each root that has it. Where none has, the error is that of the root that comes
// closest.
func addPath(roots []root, path string) error {
	found := false
	for _, r := range roots {
		if names := jsonNames(r.message, path); names != nil {
			found = true
			r.mask.show(names)
		}
	}
	if found {
		return nil
	}
	// To say what may have been meant takes much longer than to look: most roots do not have a path that one has.
	var closest *pathError
	for _, r := range roots {
		if _, err := resolve(r.message, path); closest == nil || err.closeness() > closest.closeness() {
			closest = err
		}
	}
	return closest
}

// show adds a path of JSON names. One that leads further than another adds nothing to it.
func (m *mask) show(names []string) {
	for i, name := range names {
		if m.fields == nil {
			m.fields = make(map[string]*mask)
		}
		next, ok := m.fields[name]
		switch {
		case ok && next == nil:
			return
		case i == len(names)-1:
			m.fields[name] = nil
			return
		case !ok:
			next = &mask{}
			m.fields[name] = next
		}
		m = next
	}
}

// pathError is a path that a message does not have.
type pathError struct {
	depth int // how many of the path's names it has
	text  string
}

func (e *pathError) Error() string { return e.text }

// closeness is greater where more of the path is right, or the rest looks like a misspelling.
func (e *pathError) closeness() int {
	if strings.Contains(e.text, "did you mean") {
		return 2*e.depth + 1
	}
	return 2 * e.depth
}

// jsonNames is what resolve returns, nil for an error.
func jsonNames(md protoreflect.MessageDescriptor, path string) []string {
	first, _, _ := strings.Cut(path, ".")
	if jsonKindOf(md) != fieldsJSON || findField(md, first) == nil {
		return nil
	}
	names, err := resolve(md, path)
	if err != nil {
		return nil
	}
	return names
}

// resolve is a path in JSON names.
func resolve(md protoreflect.MessageDescriptor, path string) ([]string, *pathError) {
	if path == "" {
		return nil, &pathError{text: "a path is empty: write names of fields with commas between them, such as a,b.c"}
	}
	if jsonKindOf(md) != fieldsJSON {
		return nil, &pathError{text: fmt.Sprintf("%q: %s is no object of its fields in JSON, and has none that can be named", path, md.FullName())}
	}
	var names []string
	at := 0 // where the name begins
	for name := range strings.SplitSeq(path, ".") {
		prefix := path[:at]
		at += len(name) + 1
		if md == nil {
			return nil, &pathError{len(names), fmt.Sprintf("%q: %q has no fields of its own that can be named: name it whole",
				path, strings.TrimSuffix(prefix, "."))}
		}
		fd := findField(md, name)
		if fd == nil {
			return nil, &pathError{len(names), fmt.Sprintf("%q is not a field: %s", prefix+name, transcode.SuggestField(md, prefix, name))}
		}
		names = append(names, fd.JSONName())
		md = fd.Message()
		if fd.IsMap() || md != nil && jsonKindOf(md) != fieldsJSON {
			md = nil
		}
	}
	return names, nil
}

// findField finds a field by its name in the proto or in JSON.
func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	if fd := md.Fields().ByTextName(name); fd != nil {
		return fd
	}
	return md.Fields().ByName(protoreflect.Name(name))
}

// append appends data, the JSON of an event, without what the mask hides.
func (f *Fields) append(dst, name, data []byte) []byte {
	m := f.whole
	if c, ok := f.cases[string(name)]; ok {
		m = c
	}
	dst, _ = m.prune(dst, data, 0)
	return dst
}

// prune appends what the mask shows of the value that begins at i, and returns the index behind the value. Of a list it
// is every element.
func (m *mask) prune(dst, b []byte, i int) ([]byte, int) {
	switch {
	case m != nil && i < len(b) && b[i] == '{':
		return m.pruneObject(dst, b, i)
	case m != nil && i < len(b) && b[i] == '[':
		return m.pruneList(dst, b, i)
	default:
		end := skipValue(b, i)
		return append(dst, b[i:end]...), end
	}
}

func (m *mask) pruneObject(dst, b []byte, i int) ([]byte, int) {
	dst = append(dst, '{')
	first := true
	for i++; ; {
		key, value, next, ok := nextMember(b, i)
		if !ok {
			return append(dst, '}'), next
		}
		i = next
		sub, shown := m.fields[string(unquoted(key))]
		if !shown {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(dst, key...), ':')
		dst, _ = sub.prune(dst, value, 0)
	}
}

func (m *mask) pruneList(dst, b []byte, i int) ([]byte, int) {
	dst = append(dst, '[')
	for i++; i < len(b) && b[i] != ']'; {
		if b[i] == ',' {
			dst = append(dst, ',')
			i++
			continue
		}
		start := i
		if dst, i = m.prune(dst, b, i); i == start {
			return dst, len(b) // not JSON
		}
	}
	return append(dst, ']'), min(i+1, len(b))
}
