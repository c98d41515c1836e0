package edge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/edge"
)

// Only the very same path, by the same method, leads where it has led before; the query does not count.
func TestKnownPaths(t *testing.T) {
	long := "/" + strings.Repeat("x", 300)
	for _, tc := range []struct {
		method, first string
		then          string
		want          bool
	}{
		{http.MethodGet, "/v1/prices", "/v1/prices", true},
		{http.MethodGet, "/v1/prices?symbols=A", "/v1/prices?symbols=B", true},
		{http.MethodGet, "/v1/prices", "/v1/prices/", false},
		{http.MethodGet, "/v1/prices", "/v1/pric%65s", false},
		{http.MethodGet, "/v1/pric%65s", "/v1/prices", false},
		{http.MethodGet, "/v1/a%2Fb", "/v1/a%2Fb", false},
		{http.MethodGet, "/v1/a%2Fb", "/v1/a/b", false},
		{http.MethodGet, "/v1/a%20b", "/v1/a%20b", false},
		{http.MethodGet, "/v1/a%252Fb", "/v1/a%2Fb", false},
		{http.MethodPost, "/v1/prices", "/v1/prices", false},
		{http.MethodHead, "/v1/prices", "/v1/prices", false},
		{http.MethodGet, long, long, false},
	} {
		first, then := httptest.NewRequest(tc.method, tc.first, nil), httptest.NewRequest(http.MethodGet, tc.then, nil)
		if got := edge.Remembers(first, then); got != tc.want {
			t.Errorf("%s %s, then GET %s: %v, want %v", tc.method, tc.first, tc.then, got, tc.want)
		}
	}
}

// The key that is remembered for a path is that of requests with nothing else.
func TestPublicKeys(t *testing.T) {
	key := edge.PublicKeys()
	query := key("query", false)
	bare := key("bare", true)
	if bare == query || key("bare", false) != bare || key("bare", true) != bare {
		t.Error("the path's key is that of another request, or changes")
	}
	if key("query", false) != query {
		t.Error("a request with a query has the path's key, or another one than before")
	}
}
