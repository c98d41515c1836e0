package edge

// For tests.
var (
	Accepts         = accepts
	AsksForSSE      = asksForSSE
	NormalizePath   = normalizePath
	DecodeVariables = decodeVariables
	ReadCancel      = readCancel
	ReadBody        = readBody
)
