package delivery

import (
	"strconv"
	"strings"
)

const identity = "identity"

// Negotiate chooses a content coding by a request's Accept-Encoding (its lines joined with commas), as RFC 9110 section
// 12.5.3 has it: of those offered the one with the greatest weight, the first of several; "" is none. Without a header,
// and where nothing offered is accepted, it is none, even to a client that refuses to have none: it would get nothing.
func Negotiate(acceptEncoding string, offered []string) string {
	weights := weightsOf(acceptEncoding)
	best, greatest := "", 0.0
	for _, coding := range offered {
		if q, ok := weights.of(coding); ok && q > greatest {
			best, greatest = coding, q
		}
	}
	if q, ok := weights[identity]; ok && q > greatest {
		return ""
	}
	return best
}

type weights map[string]float64

// of is a coding's weight; false where nothing is said of it.
func (w weights) of(coding string) (float64, bool) {
	if q, ok := w[coding]; ok {
		return q, true
	}
	q, ok := w["*"]
	return q, ok
}

// weightsOf reads an Accept-Encoding. What cannot be read is left out.
func weightsOf(header string) weights {
	w := make(weights)
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		q, ok := weightOf(params)
		if name == "" || !ok {
			continue
		}
		name = strings.TrimPrefix(name, "x-") // x-gzip is gzip (RFC 9110 section 8.4.1.3)
		w[name] = q
	}
	return w
}

// weightOf reads what follows the name: nothing, or one q parameter from 0 to 1.
func weightOf(params string) (float64, bool) {
	if strings.TrimSpace(params) == "" {
		return 1, true
	}
	name, value, ok := strings.Cut(params, "=")
	if !ok || strings.ToLower(strings.TrimSpace(name)) != "q" {
		return 0, false
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return q, err == nil && q >= 0 && q <= 1
}
