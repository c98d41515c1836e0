package schema

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// Options are what the config says about methods.
type Options struct {
	// Expose names methods to serve although neither an HTTP rule nor a (grpcsse.v1.stream) option exposes them:
	// `pkg.Service/Method`, `pkg.Service.Method`, `pkg.Service/*` or `*`.
	Expose []string
	// Rules replace or add to methods' options, at most one for each method. They are not changed, and must not be.
	Rules []*configv1.Rule
	// Partial says that an upstream's schema is still missing: a name in Expose or Rules that matches nothing is then
	// a warning, not an error.
	Partial bool
	// Principals says that the config tells principals apart (`principal`). Where it does not, share: PRINCIPAL is an
	// error.
	Principals bool
}

// Method is one served method. It is immutable.
type Method struct {
	// Name is the full name: pkg.Service.Method.
	Name protoreflect.FullName
	// Path is the gRPC path: /pkg.Service/Method.
	Path string
	// Upstream is the name of the backend that offers it.
	Upstream string
	// Input and Output are the request and response messages.
	Input, Output protoreflect.MessageDescriptor
	// Types resolves google.protobuf.Any and extensions in this method's messages.
	Types *dynamicpb.Types
	// ServerStreaming and ClientStreaming are as declared. Client-streaming methods have bindings like others, so that
	// a request for one can be told that it is not supported.
	ServerStreaming, ClientStreaming bool
	// Idempotent says that the method declares idempotency_level NO_SIDE_EFFECTS or IDEMPOTENT.
	Idempotent bool
	// Bindings are the HTTP rule's in its order, then the RPC path's.
	Bindings []*Binding
	// Stream is how the method is served, defaults filled in.
	Stream Stream
}

// LeftOut is a method that is not served.
type LeftOut struct {
	Method   protoreflect.FullName
	Upstream string
	// Reason says why, in a few words.
	Reason string
	// Flag is the command-line flag that would serve it, empty where none can.
	Flag string
}

// Route is one binding of one method.
type Route struct {
	Method  *Method
	Binding *Binding
}

// Table is what is served: immutable, safe for concurrent use. What it returns must not be changed.
type Table struct {
	methods  []*Method
	byName   map[protoreflect.FullName]*Method
	routes   []Route
	leftOut  []LeftOut
	warnings []string
}

// Methods are the served methods, sorted by name.
func (t *Table) Methods() []*Method { return slices.Clone(t.methods) }

// Lookup finds a served method by its full name, or returns nil.
func (t *Table) Lookup(full protoreflect.FullName) *Method { return t.byName[full] }

// LeftOut are the methods that are not served, sorted by name.
func (t *Table) LeftOut() []LeftOut { return slices.Clone(t.leftOut) }

// Warnings are oddities that a user should see at start.
func (t *Table) Warnings() []string { return slices.Clone(t.warnings) }

// Routes are all bindings, the least specific first. runtime.ServeMux tries the route that was registered last first,
// so routes registered in this order never hide one another. No two routes match the same paths.
func (t *Table) Routes() []Route { return slices.Clone(t.routes) }

// NewTable makes the table of what the schemas and options say is served. The error joins everything that is wrong;
// each part names the method or rule, and says what to do.
func NewTable(schemas []*Schema, o Options) (*Table, error) {
	b := &tableBuilder{
		options: o,
		schemas: schemas,
		rules:   make(map[protoreflect.FullName]*rule),
		table:   &Table{byName: make(map[protoreflect.FullName]*Method)},
		routes:  make(map[string]Route),
	}
	b.readExpose()
	b.readRules()
	for _, s := range schemas {
		for _, warning := range s.Warnings {
			b.warn("upstream %q: %s", s.Upstream, warning)
		}
		for _, name := range s.Services {
			if sd, ok := s.service(name); ok {
				for i := range sd.Methods().Len() {
					b.method(s, sd.Methods().Get(i))
				}
			}
		}
	}
	b.checkUnused()
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	b.sort()
	return b.table, nil
}

type tableBuilder struct {
	options Options
	schemas []*Schema
	expose  []*exposure
	rules   map[protoreflect.FullName]*rule
	inOrder []*rule // the rules as the config has them
	table   *Table
	routes  map[string]Route // by verb and template key
	errs    []error
}

type exposure struct {
	selector
	used bool
}

// rule is one of the config's rules. A nil one says nothing.
type rule struct {
	selector
	where  string
	http   *annotations.HttpRule
	stream *grpcssev1.Stream
	used   bool
}

func (b *tableBuilder) fail(format string, a ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, a...))
}

func (b *tableBuilder) warn(format string, a ...any) {
	b.table.warnings = append(b.table.warnings, fmt.Sprintf(format, a...))
}

func (b *tableBuilder) readExpose() {
	for _, text := range b.options.Expose {
		s, err := parseSelector(text)
		if err != nil {
			b.fail("expose: %w", err)
			continue
		}
		b.expose = append(b.expose, &exposure{selector: s})
	}
}

func (b *tableBuilder) readRules() {
	for i, r := range b.options.Rules {
		where := fmt.Sprintf("rules[%d] (%s)", i, r.GetSelector())
		s, err := parseSelector(r.GetSelector())
		if err == nil && s.wild() {
			err = errors.New("a rule is for one method: name it pkg.Service.Method")
		}
		if err != nil {
			b.fail("%s: selector: %w", where, err)
			continue
		}
		if first, ok := b.rules[s.name()]; ok {
			b.fail("%s: %s is for the same method: put both into one rule", where, first.where)
			continue
		}
		if r.GetHttp().GetSelector() != "" {
			b.fail("%s: http.selector must be empty: the rule's own selector says which method", where)
		}
		if r.GetStream() != nil {
			if err := checkKnown(r.GetStream().ProtoReflect()); err != nil {
				b.fail("%s: stream: %w", where, err)
				continue
			}
		}
		read := &rule{selector: s, where: where, http: r.GetHttp(), stream: r.GetStream()}
		b.rules[s.name()] = read
		b.inOrder = append(b.inOrder, read)
	}
}

// method takes one method of a backend in, or leaves it out.
func (b *tableBuilder) method(s *Schema, md protoreflect.MethodDescriptor) {
	where := fmt.Sprintf("%s: method %s", md.ParentFile().Path(), md.FullName())
	own, err := readOptions(md, s.Types)
	if err != nil {
		b.fail("%s: %w", where, err)
		return
	}
	for _, warning := range own.warnings {
		b.warn("%s: %s", where, warning)
	}
	r := b.rules[md.FullName()]
	if r == nil {
		r = &rule{}
	}
	r.used = true
	named := own.http != nil || own.stream != nil || r.where != ""
	exposed := named
	for _, e := range b.expose {
		if e.matches(md.FullName()) {
			e.used, exposed = true, true
			named = named || !e.wild()
		}
	}
	if !exposed {
		b.leaveOut(s, md)
		return
	}
	if other, ok := b.table.byName[md.FullName()]; ok {
		b.fail("%s: upstreams %q and %q both offer it, so its path is not unique: describe one of them with a descriptor_set that leaves the service out",
			where, other.Upstream, s.Upstream)
		return
	}
	if named && md.IsStreamingClient() {
		b.warn("%s: requests are answered 501: a browser cannot send a stream", where)
	}
	b.add(newMethod(s, md, own.idempotency), md, where, own, r)
}

func (b *tableBuilder) leaveOut(s *Schema, md protoreflect.MethodDescriptor) {
	l := LeftOut{
		Method:   md.FullName(),
		Upstream: s.Upstream,
		Reason:   "no HTTP rule and no (grpcsse.v1.stream) option",
		Flag:     fmt.Sprintf("--expose %s/%s", md.Parent().FullName(), md.Name()),
	}
	switch {
	case md.IsStreamingClient():
		l.Reason, l.Flag = "client-streaming: a browser cannot send a stream", ""
	case !md.IsStreamingServer():
		l.Reason = "unary, no HTTP rule"
	}
	b.table.leftOut = append(b.table.leftOut, l)
}

func newMethod(s *Schema, md protoreflect.MethodDescriptor, level descriptorpb.MethodOptions_IdempotencyLevel) *Method {
	return &Method{
		Name:            md.FullName(),
		Path:            fmt.Sprintf("/%s/%s", md.Parent().FullName(), md.Name()),
		Upstream:        s.Upstream,
		Input:           md.Input(),
		Output:          md.Output(),
		Types:           s.Types,
		ServerStreaming: md.IsStreamingServer(),
		ClientStreaming: md.IsStreamingClient(),
		Idempotent:      level != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN,
	}
}

// add fills a served method in and gives it its routes.
func (b *tableBuilder) add(m *Method, md protoreflect.MethodDescriptor, where string, own methodOptions, r *rule) {
	b.table.byName[m.Name] = m
	b.addStream(m, where, own.stream, r)

	http, httpWhere := own.http, where+": (google.api.http)"
	if r.http != nil {
		http, httpWhere = r.http, r.where+": http"
	}
	if http != nil {
		bindings, warnings, err := httpBindings(httpWhere, http, md)
		if err != nil {
			b.errs = append(b.errs, err)
		}
		b.table.warnings = append(b.table.warnings, warnings...)
		for _, binding := range bindings {
			b.addRoute(m, binding)
		}
	}
	rpc := rpcBindings(where+": its RPC path", m.Path, m, own.idempotency == descriptorpb.MethodOptions_NO_SIDE_EFFECTS)
	if len(rpc) == 0 {
		b.warn("%s: its RPC path %s is not served: paths under /sse. are the bridge's own", where, m.Path)
	}
	for _, binding := range rpc {
		b.addRoute(m, binding)
	}
	b.warnOfCursorInPath(m, where)
}

// addStream merges and checks what says how the method is served.
func (b *tableBuilder) addStream(m *Method, where string, option *grpcssev1.Stream, r *rule) {
	m.Stream = defaultStream()
	if !m.ServerStreaming || m.ClientStreaming {
		if option != nil {
			b.fail("%s: option (grpcsse.v1.stream) is only for server-streaming methods: take it out", where)
		}
		if r.stream != nil {
			b.fail("%s: stream is only for server-streaming methods, and %s is none: take it out", r.where, m.Name)
		}
		return
	}
	merged := mergeStream(option, r.stream)
	stream, warnings, errs := newStream(merged, m, b.options.Principals)
	for _, e := range errs {
		at := where + ": option (grpcsse.v1.stream)"
		if r.stream != nil {
			rule := r.stream.ProtoReflect()
			if rule.Has(rule.Descriptor().Fields().ByName(e.field)) {
				at = r.where + ": stream"
			}
		}
		b.fail("%s: %s: %w", at, e.field, e.err)
	}
	for _, warning := range warnings {
		b.warn("%s: %s", where, warning)
	}
	var err error
	if stream.Fingerprint, err = fingerprint(m.Name, merged); err != nil {
		b.fail("%s: its (grpcsse.v1.stream) cannot be hashed: %w", where, err)
	}
	m.Stream = stream
}

// addRoute refuses a second binding for the same paths.
func (b *tableBuilder) addRoute(m *Method, binding *Binding) {
	key := binding.Verb + " " + binding.parsed.key()
	if other, ok := b.routes[key]; ok {
		if other.Method == m && binding.RPC {
			return // an HTTP rule says the RPC path itself
		}
		b.fail("%s %s (%s) and %s %s (%s) match the same paths: change one of them, or give its method another path by a rule with http",
			other.Binding.Verb, other.Binding.Template, other.Binding.where, binding.Verb, binding.Template, binding.where)
		return
	}
	route := Route{m, binding}
	b.routes[key] = route
	m.Bindings = append(m.Bindings, binding)
	b.table.routes = append(b.table.routes, route)
}

// checkUnused reports names that match no method.
func (b *tableBuilder) checkUnused() {
	report := func(where string, s selector) {
		if b.options.Partial {
			b.warn("%s matches no method of the upstreams read so far", where)
			return
		}
		b.fail("%s matches no method: %s", where, s.unknown(b.schemas))
	}
	for _, e := range b.expose {
		if !e.used {
			report(fmt.Sprintf("expose %q", e.text), e.selector)
		}
	}
	for _, r := range b.inOrder {
		if !r.used {
			report(r.where, r.selector)
		}
	}
}

func (b *tableBuilder) sort() {
	for _, m := range b.table.byName {
		b.table.methods = append(b.table.methods, m)
	}
	slices.SortFunc(b.table.methods, func(x, y *Method) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortStableFunc(b.table.leftOut, func(x, y LeftOut) int { return cmp.Compare(x.Method, y.Method) })
	slices.SortFunc(b.table.routes, func(x, y Route) int {
		return cmp.Or(
			compareSpecificity(&x.Binding.parsed, &y.Binding.parsed),
			cmp.Compare(x.Binding.Template, y.Binding.Template),
			cmp.Compare(x.Binding.Verb, y.Binding.Verb))
	})
}
