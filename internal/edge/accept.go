package edge

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Media types of responses.
const (
	typeSSE  = "text/event-stream"
	typeJSON = "application/json"
)

// accepts reports whether the request's Accept header takes media (RFC 9110 section 12.5.1: of the ranges that match, the
// most specific one's q decides). No header takes everything.
func accepts(r *http.Request, media string) bool {
	fields := r.Header.Values("Accept")
	if len(fields) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	best, quality := 0, 0.0
	for part := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		specific := 0
		switch name {
		case media:
			specific = 3
		case kind + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		if specific > best {
			best, quality = specific, 1
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
				quality = q
			}
		}
	}
	return quality > 0
}

// asksForSSE reports whether the request names the SSE type, as every EventSource does.
func asksForSSE(r *http.Request) bool {
	return strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Accept"), ",")), typeSSE) && accepts(r, typeSSE)
}
