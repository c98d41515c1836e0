package edge

import "net/http"

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
