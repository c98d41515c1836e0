package delivery_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	all := []string{delivery.Zstd, delivery.Brotli, delivery.Gzip}
	for _, c := range []struct {
		header  string
		offered []string
		want    string
	}{
		{"gzip, deflate, br, zstd", all, "zstd"}, // browsers: the first that is offered
		{"gzip, deflate, br", all, "br"},
		{"gzip", all, "gzip"},
		{"GZip", all, "gzip"},
		{"x-gzip", all, "gzip"},
		{"gzip, deflate, br, zstd", []string{delivery.Gzip}, "gzip"},
		{"gzip, deflate, br, zstd", nil, ""},
		{"", all, ""}, // says nothing, or wants none: either way none is right
		{"deflate", all, ""},
		{"*", all, "zstd"},
		{"*;q=0", all, ""},
		{"zstd;q=0, *", all, "br"},
		{"gzip;q=1.0, zstd;q=0.5", all, "gzip"},
		{"gzip;q=0", all, ""},
		{"gzip;q=0.000", all, ""},
		{"identity", all, ""},
		{"identity, gzip;q=0.5", all, ""},
		{"identity;q=0.5, gzip", all, "gzip"},
		{"identity, gzip", all, "gzip"},  // both as good: the shorter one
		{"gzip;q=0.1", all, "gzip"},      // nothing is said of identity: it is only allowed
		{"identity;q=0", all, ""},        // nothing else is named
		{"identity;q=0, br", all, "br"},  //
		{"identity;q=0, *", all, "zstd"}, //
		{"identity;q=0, *;q=0", all, ""}, // 406 would help nobody
		{" gzip ; q = 0.8 , br", all, "br"},
		{"gzip;q=2, br;q=0.1", all, "br"}, // not a weight
		{"gzip;q=x", all, ""},
		{"gzip;q=NaN", all, ""},
		{"gzip;v=1", all, ""},
		{",, ;q=1,gzip", all, "gzip"},
	} {
		if got := delivery.Negotiate(c.header, c.offered); got != c.want {
			t.Errorf("Negotiate(%q, %v) = %q, want %q", c.header, c.offered, got, c.want)
		}
	}
}
