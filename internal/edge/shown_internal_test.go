package edge

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// TestRawOfAField: with response_body: "data" of a google.api.HttpBody, events are base64 strings in JSON: there are no raw bytes to send.
// As Raw, each event would be nothing at all (view.rawForm finds no member "data" in a string).
func TestRawOfAField(t *testing.T) {
	md := (&httpbody.HttpBody{}).ProtoReflect().Descriptor()
	for field, want := range map[protoreflect.Name]bool{"": true, "data": false} {
		q := &request{route: &route{
			method:  &schema.Method{Output: md, ServerStreaming: true},
			binding: &schema.Binding{Verb: http.MethodGet, ResponseField: md.Fields().ByName(field)},
		}, r: httptest.NewRequest(http.MethodGet, "/", nil), w: httptest.NewRecorder()}
		q.r.Header.Set("Accept", "image/*")
		as, ok := negotiate(q.r, q.shown())
		if raw := ok && as == view.Raw; raw != want {
			t.Errorf("response_body %q: raw %v, want %v", field, raw, want)
		}
	}
}
