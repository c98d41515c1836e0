package edge

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
