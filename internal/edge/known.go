package edge

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// knownPath is where a path leads, and what a request to it means that has nothing but the path.
type knownPath struct {
	verb, path string
	to         *route
	variables  map[string]string // decoded; not to be changed
	bare       atomic.Pointer[transcode.Request]
	publicKey  atomic.Pointer[access.StreamKey] // of the shared call that bare means, where everybody may read that
}

// Bounds of knownPaths.
const (
	maxKnown     = 1024
	maxKnownPath = 256 // bytes
)

// knownPaths remembers where paths have led. Ten thousand clients of one stream ask for the same path at the same time,
// and finding its route once more costs as much as all the rest. A path that falls on another one's place replaces it.
type knownPaths struct {
	seed  maphash.Seed
	paths [maxKnown]atomic.Pointer[knownPath]
}

func newKnownPaths() *knownPaths { return &knownPaths{seed: maphash.MakeSeed()} }

func (k *knownPaths) place(path string) *atomic.Pointer[knownPath] {
	return &k.paths[maphash.String(k.seed, path)%maxKnown]
}

// of is what is known of the request's path; nil for nothing.
func (k *knownPaths) of(r *http.Request) *knownPath {
	known := k.place(r.URL.Path).Load()
	if known == nil || known.verb != r.Method || known.path != r.URL.Path || r.URL.RawPath != "" {
		return nil
	}
	return known
}

// add remembers where the request was led to. Paths with escapes are not remembered: they have several spellings.
func (k *knownPaths) add(r *http.Request, to *route, variables map[string]string) *knownPath {
	known := &knownPath{verb: r.Method, path: strings.Clone(r.URL.Path), to: to, variables: variables}
	if len(known.path) <= maxKnownPath && r.URL.RawPath == "" && r.URL.EscapedPath() == known.path {
		// What is kept must not keep the whole request line, which these are parts of.
		known.verb = strings.Clone(known.verb)
		for name, value := range variables {
			variables[name] = strings.Clone(value)
		}
		k.place(known.path).Store(known)
	}
	return known
}
