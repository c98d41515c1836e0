package transcode

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// Binder makes the request message of one route from what came by HTTP. It never changes and is safe for concurrent
// use.
type Binder struct {
	input     protoreflect.MessageType
	types     *dynamicpb.Types
	variables []variable
	body      bodyRule
	bodyField protoreflect.FieldDescriptor // only with bodyIsField
}

// bodyRule is what a route's body is for.
type bodyRule int

const (
	noBody      bodyRule = iota // no `body` in the rule
	bodyIsAll                   // body: "*"
	bodyIsField                 // body: "some_field"
)

// Request is a request message in the two forms that the bridge needs.
type Request struct {
	Wire      []byte // what the backend is sent
	Canonical []byte // what tells requests apart: see AppendCanonical
}

// BindError is a request that does not fit its route. It holds everything that is wrong with it, up to 32 violations.
type BindError struct {
	// Violations is never empty. A violation's field is the one that the client named, as it spelled it; "" stands for
	// the request body as a whole.
	Violations []outcome.Violation
}

// Error joins the violations.
func (e *BindError) Error() string {
	texts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		texts[i] = v.Description
		if v.Field != "" {
			texts[i] = v.Field + ": " + v.Description
		}
	}
	return "the request does not fit the route: " + strings.Join(texts, "; ")
}

const (
	maxViolations = 32
	maxShown      = 80 // bytes of a client's text that are repeated to it
)

// violations collects what is wrong with one request.
type violations []outcome.Violation

func (v *violations) add(field, format string, args ...any) {
	if len(*v) < maxViolations {
		*v = append(*v, outcome.Violation{Field: clip(field, maxShown), Description: fmt.Sprintf(format, args...)})
	}
}

func (v *violations) full() bool { return len(*v) >= maxViolations }

// NewBinder makes the Binder of one of m's bindings. It fails where the binding names a field that the request message
// does not have or that cannot be bound there; a schema's own bindings always fit.
func NewBinder(m *schema.Method, b *schema.Binding) (*Binder, error) {
	bd := &Binder{input: dynamicpb.NewMessageType(m.Input), types: resolver(m.Types)}
	for _, name := range b.Variables {
		v, err := newVariable(m.Input, name, b.Segments[name])
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", b.Verb, b.Template, err)
		}
		bd.variables = append(bd.variables, v)
	}
	switch b.Body {
	case "":
	case "*":
		bd.body = bodyIsAll
	default:
		bd.body = bodyIsField
		if bd.bodyField = b.BodyField; bd.bodyField == nil {
			return nil, fmt.Errorf("%s %s: %s has no field %q for the body", b.Verb, b.Template, m.Input.FullName(), b.Body)
		}
	}
	return bd, nil
}

// Bind makes the request message. path holds the values of the template's variables, query the query parameters
// without the bridge's own, both already unescaped; body is the request body. Where path and body both give a field,
// the path's value counts, as in grpc-gateway. The error is always a [*BindError].
func (b *Binder) Bind(path map[string]string, query url.Values, body []byte) (Request, error) {
	m := b.input.New()
	var v violations
	b.bindBody(m, body, &v)
	taken := b.bindPath(m, path, &v)
	b.bindQuery(m, query, taken, &v)
	if len(v) > 0 {
		return Request{}, &BindError{Violations: v}
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	if err != nil { // a required field is not set (proto2)
		return Request{}, &BindError{Violations: []outcome.Violation{{Description: protoText(err)}}}
	}
	return Request{Wire: wire, Canonical: AppendCanonical(nil, m, b.types)}, nil
}

// protoText is the text of an error of the protobuf library without its prefix, which varies between builds.
func protoText(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return clip(strings.TrimPrefix(text, "proto: "), 200)
}

// fieldPath leads from the request message to a field. All but the last are singular messages.
type fieldPath []protoreflect.FieldDescriptor

// last is the field itself.
func (p fieldPath) last() protoreflect.FieldDescriptor { return p[len(p)-1] }

// String is the path as in the proto: "filter.symbol".
func (p fieldPath) String() string {
	names := make([]string, len(p))
	for i, fd := range p {
		names[i] = fd.TextName()
	}
	return strings.Join(names, ".")
}

// covers reports whether q is p or lies inside it.
func (p fieldPath) covers(q fieldPath) bool {
	return len(p) <= len(q) && slices.EqualFunc(p, q[:len(p)], func(a, b protoreflect.FieldDescriptor) bool {
		return a.Number() == b.Number()
	})
}

// findField finds a field by either of its names.
func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByTextName(name); fd != nil {
		return fd
	}
	return md.Fields().ByJSONName(name)
}

// enter makes the message that p's last field is in, and returns it. It reports false, with the other field, where
// that would clear another case of a oneof.
func enter(m protoreflect.Message, p fieldPath) (protoreflect.Message, protoreflect.FieldDescriptor, bool) {
	for i, fd := range p {
		if od := fd.ContainingOneof(); od != nil {
			if set := m.WhichOneof(od); set != nil && set.Number() != fd.Number() {
				return nil, set, false
			}
		}
		if i < len(p)-1 {
			m = m.Mutable(fd).Message()
		}
	}
	return m, nil, true
}
