package routetable

import (
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// sample is the binding that a method is shown with: the first GET, which a browser can open too, else the first.
func sample(m *schema.Method) *schema.Binding {
	for _, b := range m.Bindings {
		if b.Verb == http.MethodGet {
			return b
		}
	}
	if len(m.Bindings) == 0 {
		return nil
	}
	return m.Bindings[0]
}

// command is curl with its options, and the quoted URL.
func command(m *schema.Method, b *schema.Binding, base string) (options, quotedURL string) {
	options = "curl"
	if m.ServerStreaming {
		options += " -N"
	}
	if b.Verb != http.MethodGet && (b.Verb != http.MethodPost || b.Body == "") {
		options += " -X " + b.Verb
	}
	if b.Body != "" {
		options += " -H 'Content-Type: application/json' -d " + quote(emptyJSON(b.BodyField))
	}
	return options, quote(base + fill(b.Template, m.Input))
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// emptyJSON is the smallest JSON that a field takes; nil is the whole request.
func emptyJSON(field protoreflect.FieldDescriptor) string {
	switch {
	case field == nil || field.IsMap():
		return "{}"
	case field.IsList():
		return "[]"
	}
	if md := field.Message(); md != nil && md.FullName().Parent() == "google.protobuf" && strings.HasSuffix(string(md.Name()), "Value") {
		if value := field.Message().Fields().ByName("value"); value != nil {
			return emptyJSON(value) // a wrapper is written as what it wraps
		}
	}
	value := placeholder(field)
	switch field.Kind() {
	case protoreflect.StringKind, protoreflect.EnumKind, protoreflect.BytesKind:
		return `"` + value + `"`
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if value == "" {
			return "{}"
		}
		return `"` + value + `"`
	default:
		return value
	}
}

// fill replaces the variables and wildcards of a path template by values that their fields take, such as
// /v1/{name=shelves/*}/books/{number}:open with /v1/shelves/NAME/books/1:open.
func fill(template string, input protoreflect.MessageDescriptor) string {
	var out strings.Builder
	for template != "" {
		start := strings.IndexByte(template, '{')
		end := strings.IndexByte(template, '}')
		if start < 0 || end < start {
			break
		}
		out.WriteString(wildcards(template[:start], "X"))
		path, pattern, ok := strings.Cut(template[start+1:end], "=")
		if !ok {
			pattern = "*"
		}
		out.WriteString(wildcards(pattern, url.PathEscape(placeholder(find(input, path)))))
		template = template[end+1:]
	}
	out.WriteString(wildcards(template, "X"))
	return out.String()
}

// wildcards replaces * and ** in a path.
func wildcards(path, value string) string {
	return strings.ReplaceAll(strings.ReplaceAll(path, "**", "*"), "*", value)
}

// find follows a path of field names. The schema checked that it leads to a field.
func find(message protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var field protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if message == nil {
			return nil
		}
		if field = message.Fields().ByName(protoreflect.Name(name)); field == nil {
			return nil
		}
		message = field.Message()
	}
	return field
}

// placeholder is a value that a field takes, as text: its name where any text is good. Empty for a message without one.
func placeholder(field protoreflect.FieldDescriptor) string {
	if field == nil {
		return "X"
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		return strings.ToUpper(string(field.Name()))
	case protoreflect.BytesKind:
		return "QUJD"
	case protoreflect.BoolKind:
		return "true"
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return string(values.Get(values.Len() - 1).Name())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return wellKnown(field)
	default:
		return "1"
	}
}

// wellKnown is a value of the messages that are written as one word.
func wellKnown(field protoreflect.FieldDescriptor) string {
	switch name := field.Message().FullName(); name {
	case "google.protobuf.Timestamp":
		return "2026-01-01T00:00:00Z"
	case "google.protobuf.Duration":
		return "1s"
	case "google.protobuf.FieldMask":
		return ""
	default:
		value := field.Message().Fields().ByName("value")
		if name.Parent() != "google.protobuf" || value == nil || value.Message() != nil {
			return ""
		}
		if value.Kind() == protoreflect.StringKind {
			return strings.ToUpper(string(field.Name()))
		}
		return placeholder(value)
	}
}
