// Package access decides what a request may: which of its headers reach the backend, from which pages it may come, who
// sends it, and whether there is room for it.
package access

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

const (
	// maxForwardedValues and maxForwardedBytes (names and values together) bound what one request forwards. A backend's
	// own limit on headers is often 8 KiB, and some of it is taken already.
	maxForwardedValues = 64
	maxForwardedBytes  = 7 << 10
)

// Forwarder turns request headers into metadata. Only listed headers pass. It is immutable.
type Forwarder struct {
	// Header's own spelling of the names, and metadata's.
	canonical, lower []string
}

// NewForwarder makes a Forwarder of these headers; none at all forwards nothing. It refuses names that are not lower
// case, and those that are gRPC's own or belong to one connection.
func NewForwarder(headers []string) (*Forwarder, error) {
	f := &Forwarder{}
	for _, name := range headers {
		if problem := nameProblem(name); problem != "" {
			return nil, fmt.Errorf("forward_metadata: %q cannot be forwarded: %s", name, problem)
		}
		if !slices.Contains(f.lower, name) {
			f.lower = append(f.lower, name)
			f.canonical = append(f.canonical, http.CanonicalHeaderKey(name))
		}
	}
	return f, nil
}

// Headers are the names of the headers that are forwarded, in lower case, each once.
func (f *Forwarder) Headers() []string { return slices.Clone(f.lower) }

// connectionHeaders belong to one connection or are set by gRPC itself.
var connectionHeaders = []string{
	"connection", "content-length", "content-type", "host", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade", "user-agent",
}

func nameProblem(name string) string {
	switch {
	case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
		return "a name is made of lower-case letters, digits, '-', '_' and '.'"
	case strings.HasPrefix(name, "grpc-"):
		return "names that begin with grpc- belong to gRPC"
	case strings.HasSuffix(name, "-bin"):
		return "names that end in -bin are binary in gRPC, and headers are text"
	case slices.Contains(connectionHeaders, name):
		return "it is about one connection only, or gRPC sets it itself"
	}
	return ""
}

// Metadata returns what is forwarded of h. Values that [Forwarder.Handler] would refuse a request for are left out.
func (f *Forwarder) Metadata(h http.Header) metadata.MD {
	md := make(metadata.MD, len(f.lower))
	count, size := 0, 0
	for i, name := range f.canonical {
		for _, v := range h[name] {
			if valueProblem(v) != "" || count+1 > maxForwardedValues || size+len(name)+len(v) > maxForwardedBytes {
				continue
			}
			count, size = count+1, size+len(name)+len(v)
			md[f.lower[i]] = append(md[f.lower[i]], v)
		}
	}
	return md
}

// valueProblem says why a value cannot be metadata: gRPC's specification allows printable ASCII and space.
func valueProblem(v string) string {
	if strings.IndexFunc(v, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
		return "its value is not printable ASCII"
	}
	return ""
}

// Handler refuses requests whose listed headers cannot all be forwarded, with 400 or 431, and hands the others to next.
// Leaving one out in silence would change what the request means: without its authorization it comes from somebody else.
func (f *Forwarder) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if problem := f.problem(r.Header); problem != nil {
			problem.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// problem is why not all of h that is listed can be forwarded; nil where it can.
func (f *Forwarder) problem(h http.Header) *outcome.Problem {
	count, size := 0, 0
	for i, name := range f.canonical {
		for _, v := range h[name] {
			if problem := valueProblem(v); problem != "" {
				return &outcome.Problem{
					Status: http.StatusBadRequest, Code: codes.InvalidArgument,
					Detail: "the header " + f.lower[i] + " cannot be forwarded to the backend: " + problem,
				}
			}
			count, size = count+1, size+len(name)+len(v)
		}
	}
	if count > maxForwardedValues || size > maxForwardedBytes {
		return &outcome.Problem{
			Status: http.StatusRequestHeaderFieldsTooLarge, Code: codes.InvalidArgument,
			Detail: fmt.Sprintf("the headers that are forwarded to the backend (%s) may have %d values and %d bytes in total",
				strings.Join(f.lower, ", "), maxForwardedValues, maxForwardedBytes),
		}
	}
	return nil
}
