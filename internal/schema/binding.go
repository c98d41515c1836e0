package schema

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Binding is one way to reach a method by HTTP. It is immutable.
type Binding struct {
	// Verb is the HTTP method: GET, POST and so on.
	Verb string
	// Template is the path template, in the form that runtime.ServeMux.HandlePath takes.
	Template string
	// Body is "*" where the request body is the whole request message, the name of a field of it where the body is
	// that field, and empty where there is no body and the query holds what the path does not.
	Body string
	// BodyField is the field that Body names, else nil.
	BodyField protoreflect.FieldDescriptor
	// ResponseField is the field of the response that response_body names; nil means the whole response.
	ResponseField protoreflect.FieldDescriptor
	// Variables are the template's variables in order: dotted paths of proto field names, each found in the request.
	Variables []string
	// Segments is how many path segments each variable's value has: 1 for {x}, 2 for {x=a/*}; 0 means any number.
	Segments map[string]int
	// RPC says that this is the method's RPC path, not an HTTP rule.
	RPC bool

	parsed template
	where  string // where it was said, for errors
}

// newBinding checks a template against the request message.
func newBinding(where, verb, path string, input protoreflect.MessageDescriptor) (*Binding, error) {
	t, err := parseTemplate(path)
	if err != nil {
		return nil, err
	}
	if s := t.segments[0]; s.kind == literal && strings.HasPrefix(s.text, "sse.") {
		return nil, errors.New("paths under /sse. are the bridge's own: use another")
	}
	b := &Binding{Verb: verb, Template: path, Segments: make(map[string]int), parsed: t, where: where}
	cases := make(oneofCases)
	for _, v := range t.variables {
		fields, err := findVariable(input, v.field)
		if err != nil {
			return nil, fmt.Errorf("variable %q: %w", v.field, err)
		}
		if other, ok := cases.choose(fields); !ok {
			return nil, fmt.Errorf("variables %q and %q are cases of one oneof, or inside them: only one can be set", other, v.field)
		}
		b.Variables = append(b.Variables, v.field)
		b.Segments[v.field] = v.segments
	}
	return b, nil
}

// oneofCases are the oneofs that variables set a case of, by the path that leads to each: two messages of one type have
// the same oneofs, and do not share them.
type oneofCases map[string]FieldPath

// choose notes what a variable sets. It reports false, with the other variable, where both cannot be set.
func (c oneofCases) choose(path FieldPath) (other FieldPath, ok bool) {
	for i, fd := range path {
		oneof := fd.ContainingOneof()
		if oneof == nil {
			continue
		}
		at := path[:i].String() + "." + string(oneof.Name())
		if other, ok := c[at]; ok && other[i].Number() != fd.Number() {
			return other, false
		}
		c[at] = path
	}
	return nil, true
}

// scalarMessages are messages whose JSON is a string or a number, so that they fit into a path.
var scalarMessages = map[protoreflect.FullName]bool{
	"google.protobuf.Timestamp": true, "google.protobuf.Duration": true,
	"google.protobuf.StringValue": true, "google.protobuf.BytesValue": true, "google.protobuf.BoolValue": true,
	"google.protobuf.Int32Value": true, "google.protobuf.UInt32Value": true,
	"google.protobuf.Int64Value": true, "google.protobuf.UInt64Value": true,
	"google.protobuf.FloatValue": true, "google.protobuf.DoubleValue": true,
}

// findVariable follows a dotted path to a field that a path segment can hold.
func findVariable(message protoreflect.MessageDescriptor, path string) (FieldPath, error) {
	fields, err := findPath("the message", message, path)
	if err != nil {
		return nil, err
	}
	field := fields.Leaf()
	switch {
	case field.IsList() || field.IsMap():
		return nil, errors.New("a repeated field cannot be in a path: bind it by query or body")
	case field.Message() != nil && !scalarMessages[field.Message().FullName()]:
		return nil, fmt.Errorf("a message (%s) cannot be in a path: bind one of its fields", field.Message().FullName())
	}
	return fields, nil
}

// httpBindings are the bindings of an HTTP rule and its additional_bindings.
func httpBindings(where string, rule *annotations.HttpRule, md protoreflect.MethodDescriptor) (bindings []*Binding, warnings []string, err error) {
	var errs []error
	add := func(where string, rule *annotations.HttpRule) {
		bs, warning, err := httpBinding(where, rule, md)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
		if warning != "" {
			warnings = append(warnings, where+": "+warning)
		}
		bindings = append(bindings, bs...)
	}
	add(where, rule)
	for i, more := range rule.GetAdditionalBindings() {
		where := fmt.Sprintf("%s: additional_bindings[%d]", where, i)
		if len(more.GetAdditionalBindings()) > 0 {
			errs = append(errs, fmt.Errorf("%s: cannot have additional_bindings of its own: move them one level up", where))
			continue
		}
		add(where, more)
	}
	return bindings, warnings, errors.Join(errs...)
}

// httpBinding is one rule without its additional_bindings. There are several bindings where it holds for all verbs.
func httpBinding(where string, rule *annotations.HttpRule, md protoreflect.MethodDescriptor) (bindings []*Binding, warning string, err error) {
	verbs, path, err := verbsAndPath(rule)
	if err != nil {
		return nil, "", err
	}
	if verbs[0] == http.MethodHead {
		return nil, fmt.Sprintf("HEAD %s is not served: HEAD never calls a backend", path), nil
	}
	for _, verb := range verbs {
		if verb == http.MethodGet && rule.GetBody() != "" {
			if len(verbs) > 1 {
				continue
			}
			return nil, "", fmt.Errorf("%s %q: a GET has no body: take body %q out, or use post", verb, path, rule.GetBody())
		}
		b, err := newBinding(where, verb, path, md.Input())
		if err == nil {
			err = b.bindBodies(rule, md)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s %q: %w", verb, path, err)
		}
		bindings = append(bindings, b)
	}
	return bindings, "", nil
}

// verbsAndPath reads the rule's pattern. The custom kind "*" stands for every verb.
func verbsAndPath(rule *annotations.HttpRule) ([]string, string, error) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return []string{http.MethodGet}, p.Get, nil
	case *annotations.HttpRule_Put:
		return []string{http.MethodPut}, p.Put, nil
	case *annotations.HttpRule_Post:
		return []string{http.MethodPost}, p.Post, nil
	case *annotations.HttpRule_Delete:
		return []string{http.MethodDelete}, p.Delete, nil
	case *annotations.HttpRule_Patch:
		return []string{http.MethodPatch}, p.Patch, nil
	case *annotations.HttpRule_Custom:
		kind, path := p.Custom.GetKind(), p.Custom.GetPath()
		if kind == "*" {
			return []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch}, path, nil
		}
		if kind == "" || strings.Trim(kind, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return nil, "", fmt.Errorf("the custom kind %q is no HTTP method: write one in capitals, or \"*\" for all", kind)
		}
		return []string{kind}, path, nil
	}
	return nil, "", errors.New("the HTTP rule has no path: set get, put, post, delete, patch or custom")
}

// bindBodies resolves body and response_body.
func (b *Binding) bindBodies(rule *annotations.HttpRule, md protoreflect.MethodDescriptor) error {
	b.Body = rule.GetBody()
	if b.Body != "" && b.Body != "*" {
		b.BodyField = md.Input().Fields().ByName(protoreflect.Name(b.Body))
		if b.BodyField == nil {
			return fmt.Errorf("body: the request message %s has no field %q%s", md.Input().FullName(), b.Body, choices(fieldNames(md.Input())))
		}
		if _, ok := b.Segments[b.Body]; ok {
			return fmt.Errorf("body: field %q is in the path already", b.Body)
		}
	}
	if name := rule.GetResponseBody(); name != "" {
		b.ResponseField = md.Output().Fields().ByName(protoreflect.Name(name))
		if b.ResponseField == nil {
			return fmt.Errorf("response_body: the response message %s has no field %q%s", md.Output().FullName(), name, choices(fieldNames(md.Output())))
		}
	}
	return nil
}

// rpcBindings are the bindings of a method's RPC path: POST, and GET where that is harmless or already said. For a
// server-streaming method that is without an HTTP rule, with a get: rule, or with NO_SIDE_EFFECTS; a unary method needs
// one of the last two, because nothing about it says that a link may trigger it.
func rpcBindings(where, path string, m *Method, noSideEffects bool) []*Binding {
	get := noSideEffects || m.ServerStreaming && !m.ClientStreaming && len(m.Bindings) == 0
	for _, b := range m.Bindings {
		get = get || b.Verb == http.MethodGet
	}
	t, err := parseTemplate(path)
	if err != nil || strings.HasPrefix(path, "/sse.") {
		return nil
	}
	post := &Binding{Verb: http.MethodPost, Template: path, Body: "*", RPC: true, parsed: t, where: where}
	if !get {
		return []*Binding{post}
	}
	return []*Binding{post, {Verb: http.MethodGet, Template: path, RPC: true, parsed: t, where: where}}
}
