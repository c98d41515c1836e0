package edge

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/view"
)

// Media types of responses.
const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
	typeJSON   = "application/json"
)

const httpBody protoreflect.FullName = "google.api.HttpBody"

// offers are the representations of a stream, the preferred one first where a client takes them equally.
var offers = []struct {
	media string
	as    view.Representation
}{
	{typeSSE, view.SSE},
	{typeNDJSON, view.NDJSON},
	{typeJSON, view.JSON},
}

// negotiate chooses the representation of a stream; ok is false where the request takes none. A stream of
// google.api.HttpBody is sent as its bytes to who names a type, but none of those above.
func negotiate(r *http.Request, output protoreflect.FullName) (chosen view.Representation, ok bool) {
	if fields := r.Header["Accept"]; len(fields) == 1 && fields[0] == typeSSE {
		return view.SSE, true // what every EventSource sends
	}
	ranges := acceptRanges(r)
	if output == httpBody && ranges.named() && !ranges.names(typeSSE) && !ranges.names(typeNDJSON) && !ranges.names(typeJSON) {
		return view.Raw, true
	}
	best := 0.0
	for _, offer := range offers {
		if q := ranges.quality(offer.media); q > best {
			chosen, best = offer.as, q
		}
	}
	return chosen, best > 0
}

// accepts reports whether the request's Accept header takes media.
func accepts(r *http.Request, media string) bool { return acceptRanges(r).quality(media) > 0 }

// asksForSSE reports whether the request names the SSE type, as every EventSource does.
func asksForSSE(r *http.Request) bool {
	ranges := acceptRanges(r)
	return ranges.names(typeSSE) && ranges.quality(typeSSE) > 0
}

// mediaRanges is an Accept header: the q of every range in it. nil takes everything.
type mediaRanges map[string]float64

func acceptRanges(r *http.Request) mediaRanges {
	fields := r.Header.Values("Accept")
	if len(fields) == 0 {
		return nil
	}
	ranges := mediaRanges{}
	for part := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if given, err := strconv.ParseFloat(text, 64); err == nil {
				q = given
			}
		}
		ranges[name] = max(q, ranges[name])
	}
	return ranges
}

// quality is the q of media: that of the most specific range which matches it (RFC 9110 section 12.5.1).
func (m mediaRanges) quality(media string) float64 {
	if m == nil {
		return 1
	}
	kind, _, _ := strings.Cut(media, "/")
	for _, name := range []string{media, kind + "/*", "*/*"} {
		if q, ok := m[name]; ok {
			return q
		}
	}
	return 0
}

func (m mediaRanges) names(media string) bool {
	_, ok := m[media]
	return ok
}

// named reports whether a type is named at all, and not only "anything".
func (m mediaRanges) named() bool {
	for name := range m {
		if name != "*/*" {
			return true
		}
	}
	return false
}
