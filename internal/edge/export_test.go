package edge

import (
	"net/http"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// For tests.
var (
	Accepts         = accepts
	AsksForSSE      = asksForSSE
	NormalizePath   = normalizePath
	DecodeVariables = decodeVariables
	DecodeOwn       = decodeOwn
	ParseTimeout    = parseTimeout
	Negotiate       = negotiate
	ReadBody        = readBody
)

// Remembers reports whether a request finds again where another one before it was led to.
func Remembers(first, then *http.Request) bool {
	k := newKnownPaths()
	k.add(first, &route{}, nil)
	return k.of(then) != nil
}

// PublicKeys returns what makes the keys of one path's requests: for each the canonical request, and whether it is what the
// path alone means.
func PublicKeys() func(canonical string, bare bool) access.StreamKey {
	e := &Edge{Options: Options{Keyer: access.NewKeyer(nil)}}
	to, known := &route{method: &schema.Method{Name: "a.B.C"}}, &knownPath{}
	return func(canonical string, bare bool) access.StreamKey {
		return e.publicKey(&request{route: to, known: known, bare: bare}, transcode.Request{Canonical: []byte(canonical)})
	}
}
