package edge

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unsafe"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// TestDecodeOwnTrailing: what follows the message is an error, a bracket too.
func TestDecodeOwnTrailing(t *testing.T) {
	for _, body := range []string{`{"id":"x"}}`, `{"id":"x"}] what`} {
		var into struct {
			ID string `json:"id"`
		}
		if decodeOwn([]byte(body), &into) {
			t.Errorf("%s was read", body)
		}
	}
}

// TestKnownPathHoldsNoRequestLine: what is remembered of a path does not keep the request line, which may be long.
func TestKnownPathHoldsNoRequestLine(t *testing.T) {
	line := "GET /v1/x/abc?_=" + strings.Repeat("y", 30000)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	inside := func(s string) bool {
		from := uintptr(unsafe.Pointer(unsafe.StringData(r.RequestURI)))
		at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
		return at+64 > from && at < from+uintptr(len(r.RequestURI))
	}
	k := newKnownPaths()
	_ = k.add(r, &route{binding: &schema.Binding{Verb: "GET"}}, map[string]string{"name": r.URL.Path[len("/v1/x/"):]})
	known := k.of(r)
	if known == nil {
		t.Fatal("not remembered")
	}
	if inside(known.verb) || inside(known.path) || inside(known.variables["name"]) {
		t.Errorf("verb %v, path %v, variable %v are part of a request line of %d bytes",
			inside(known.verb), inside(known.path), inside(known.variables["name"]), len(r.RequestURI))
	}
}

// TestNilPeers: without peers nobody's address is looked at.
func TestNilPeers(t *testing.T) {
	var p *access.Peers
	if got := p.Of(httptest.NewRequest(http.MethodGet, "/", http.NoBody)); got.IsValid() {
		t.Errorf("the address is %v", got)
	}
}
