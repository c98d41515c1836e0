package access_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

func TestResponseHeaders(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}}
	access.ResponseHeaders([]string{"x-total", "etag-of-row", "x-bad", "x-none"},
		metadata.MD{"x-total": {"7", "8"}, "x-secret": {"s"}, "content-type": {"application/grpc"}, "x-bad": {"a\r\nSet-Cookie: x", "ä", "\x00", "good"}},
		metadata.MD{"x-total": {"9"}, "etag-of-row": {"e"}, "grpc-status-details-bin": {"x"}},
		h)
	want := http.Header{
		"Content-Type": {"application/json"}, "X-Total": {"7", "8", "9"}, "Etag-Of-Row": {"e"}, "X-Bad": {"good"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A backend that answers very much does not make a head that nobody reads.
func TestResponseHeadersAreBounded(t *testing.T) {
	for name, md := range map[string]metadata.MD{
		"many":  {"x-a": strings.Split(strings.Repeat("x,", 500), ","), "x-b": {"last"}},
		"large": {"x-a": {strings.Repeat("x", 6<<10), strings.Repeat("x", 2<<10)}, "x-b": {strings.Repeat("x", 7<<10)}},
	} {
		h := http.Header{}
		access.ResponseHeaders([]string{"x-a", "x-b"}, md, nil, h)
		count, size := 0, 0
		for name, values := range h {
			for _, v := range values {
				count, size = count+1, size+len(name)+len(v)
			}
		}
		if count == 0 || count > 64 || size > 7<<10 {
			t.Errorf("%s: %d values, %d bytes", name, count, size)
		}
	}
}
