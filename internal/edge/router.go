package edge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// router is the routes of one table. It is not changed once made: a new schema makes a new router.
type router struct {
	mux      *runtime.ServeMux // nil: no schema has been loaded yet
	verbs    []string
	complete bool
	known    *knownPaths
	encoders map[protoreflect.FullName]*transcode.Encoder
	fields   map[protoreflect.FullName]*feed.Fields
}

// route is one way to a method.
type route struct {
	method  *schema.Method
	binding *schema.Binding
	binder  *transcode.Binder
	encoder *transcode.Encoder
	newest  func() feed.Encoder // the method's encoder by the newest schema
	fields  *feed.Fields
}

// routing is what a request is dispatched with.
type routing struct {
	router *router
	probe  bool // only find out whether there is a route
	found  bool
	head   bool
}

type routingKey struct{}

func (e *Edge) newRouter(t *schema.Table, complete bool) (*router, error) {
	r := &router{
		complete: complete, known: newKnownPaths(),
		encoders: map[protoreflect.FullName]*transcode.Encoder{}, fields: map[protoreflect.FullName]*feed.Fields{},
	}
	r.mux = runtime.NewServeMux(
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// serve says what there is instead.
		runtime.WithRoutingErrorHandler(func(context.Context, *runtime.ServeMux, runtime.Marshaler,
			http.ResponseWriter, *http.Request, int,
		) {
		}),
	)
	for _, m := range t.Methods() {
		r.encoders[m.Name], r.fields[m.Name] = e.newEncoder(m), feed.NewFields(m)
	}
	for _, known := range t.Routes() {
		binder, err := transcode.NewBinder(known.Method, known.Binding)
		if err != nil {
			return nil, err
		}
		to := &route{
			method: known.Method, binding: known.Binding, binder: binder,
			encoder: r.encoders[known.Method.Name], newest: e.newest(known.Method.Name), fields: r.fields[known.Method.Name],
		}
		if err := r.mux.HandlePath(known.Binding.Verb, known.Binding.Template, e.handler(to)); err != nil {
			return nil, fmt.Errorf("%s: template %q: %w", known.Method.Name, known.Binding.Template, err)
		}
		if !slices.Contains(r.verbs, known.Binding.Verb) {
			r.verbs = append(r.verbs, known.Binding.Verb)
		}
	}
	slices.Sort(r.verbs)
	return r, nil
}

// newest returns what finds the method's encoder by the newest schema. It is asked for every message, and may be kept by a
// call for longer than there is a route to it.
func (e *Edge) newest(method protoreflect.FullName) func() feed.Encoder {
	slot := e.encoders[method]
	if slot == nil {
		slot = new(atomic.Pointer[transcode.Encoder])
		e.encoders[method] = slot
	}
	return func() feed.Encoder { return slot.Load() }
}

// newEncoder makes a method's encoder. Clients learn that a message cannot be shown; why, the log says.
func (e *Edge) newEncoder(m *schema.Method) *transcode.Encoder {
	encoder := transcode.NewEncoder(m)
	encoder.Undecodable = func(err *transcode.UndecodableError) {
		e.Logger.Warn("a message cannot be shown; further ones of this method are not logged",
			"method", m.Name, "type", err.Type, "size", err.Size, "cause", err.Unwrap())
	}
	return encoder
}

// handler answers the requests of one route.
func (e *Edge) handler(to *route) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		how := r.Context().Value(routingKey{}).(*routing)
		how.found = true
		if how.probe {
			return
		}
		variables, err := decodeVariables(to.binding, path)
		if err != nil {
			outcome.Problem{Status: http.StatusBadRequest, Code: codes.InvalidArgument, Detail: err.Error()}.Write(w)
			return
		}
		e.answer(&request{route: to, known: how.router.known.add(r, to, variables), w: w, r: r, head: how.head})
	}
}

// answer answers a request that has found its route.
func (e *Edge) answer(q *request) {
	switch {
	case q.method.ClientStreaming:
		outcome.New(codes.Unimplemented, "%s streams requests, which one HTTP request cannot: call it by gRPC",
			q.method.Name).Problem().Write(q.w)
	case q.method.ServerStreaming:
		e.serveStream(q)
	default:
		e.serveUnary(q)
	}
}

// serve finds the route and answers, or says what there is instead.
func (e *Edge) serve(rt *router, w http.ResponseWriter, r *http.Request) {
	if known := rt.known.of(r); known != nil {
		e.answer(&request{route: known.to, known: known, w: w, r: r})
		return
	}
	rt.find(w, r)
}

// find has the mux find the route.
func (rt *router) find(w http.ResponseWriter, r *http.Request) {
	how := &routing{router: rt, head: r.Method == http.MethodHead}
	verb := r.Method
	if how.head {
		verb = http.MethodGet
	}
	if err := rt.dispatch(w, r, verb, how); err != nil {
		outcome.Problem{Status: http.StatusBadRequest, Code: codes.InvalidArgument, Detail: err.Error()}.Write(w)
		return
	}
	if how.found {
		return
	}
	allow := rt.allow(r)
	switch {
	case len(allow) != 0 && r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(allow, ", "))
		w.WriteHeader(http.StatusNoContent)
	case len(allow) != 0:
		w.Header().Set("Allow", strings.Join(allow, ", "))
		outcome.Problem{
			Status: http.StatusMethodNotAllowed,
			Detail: fmt.Sprintf("%s is not served here; %s is", r.Method, strings.Join(allow, ", ")),
		}.Write(w)
	case !rt.complete:
		starting(w, r)
	default:
		outcome.Problem{
			Status: http.StatusNotFound, Code: codes.NotFound,
			Detail: "no method has this path; `grpc-sse routes` prints those there are",
		}.Write(w)
	}
}

// allow is the verbs that the request's path is served with.
func (rt *router) allow(r *http.Request) []string {
	var allow []string
	for _, verb := range rt.verbs {
		how := &routing{probe: true}
		if err := rt.dispatch(nil, r, verb, how); err != nil || !how.found {
			continue
		}
		allow = append(allow, verb)
		if verb == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	if len(allow) != 0 {
		allow = append(allow, http.MethodOptions)
	}
	return allow
}

// dispatch hands the request to the mux as one with the given verb.
func (rt *router) dispatch(w http.ResponseWriter, r *http.Request, verb string, how *routing) error {
	if rt.mux == nil {
		return nil
	}
	path, err := normalizePath(r.URL.EscapedPath())
	if err != nil {
		return err
	}
	r2 := r.WithContext(context.WithValue(r.Context(), routingKey{}, how))
	u := *r.URL
	u.Path, u.RawPath = path, ""
	r2.URL, r2.Method = &u, verb
	rt.mux.ServeHTTP(w, r2)
	return nil
}

// normalizePath decodes each segment of an escaped path and encodes "%" and "/" in it again. So literals match however
// they were written, an encoded slash does not end a segment, and what a variable holds can be decoded once more without
// loss.
func normalizePath(escaped string) (string, error) {
	if !strings.Contains(escaped, "%") {
		return escaped, nil
	}
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return "", fmt.Errorf("the path has a malformed escape in %q: %% must be followed by two hexadecimal digits", s)
		}
		segments[i] = encodeSegment.Replace(decoded)
	}
	return strings.Join(segments, "/"), nil
}

var (
	encodeSegment = strings.NewReplacer("%", "%25", "/", "%2F")
	decodeSegment = strings.NewReplacer("%25", "%", "%2F", "/")
	// In a variable of several segments an encoded slash stays encoded, so that it is no separator (google/api/http.proto).
	decodeSegments = strings.NewReplacer("%25", "%")
)

// decodeVariables undoes normalizePath in the values of variables.
func decodeVariables(b *schema.Binding, path map[string]string) (map[string]string, error) {
	for name, value := range path {
		if b.Segments[name] != 1 {
			path[name] = decodeSegments.Replace(value)
			continue
		}
		if strings.Contains(value, "%2F") {
			return nil, fmt.Errorf("path variable %s: an encoded slash (%%2F) is not allowed in a single segment", name)
		}
		path[name] = decodeSegment.Replace(value)
	}
	return path, nil
}
