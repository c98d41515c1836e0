package access_test

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/access"
)

func TestPeers(t *testing.T) {
	proxies := access.NewPeers([]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.7/32"),
		netip.MustParsePrefix("::ffff:172.16.0.0/108"),
	})
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string // "" for none
	}{
		{"a client", "203.0.113.9:1234", nil, "203.0.113.9"},
		{"a client that claims to be another", "203.0.113.9:1234", []string{"198.51.100.1"}, "203.0.113.9"},
		{"a client by IPv6", "[2001:db8::9]:1234", nil, "2001:db8::9"},
		{"IPv4 in IPv6", "[::ffff:203.0.113.9]:1234", nil, "203.0.113.9"},
		{"a zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"a Unix socket", "@", []string{"198.51.100.1"}, ""},
		{"no address", "", nil, ""},

		{"a proxy itself", "10.1.2.3:1234", nil, "10.1.2.3"},
		{"behind a proxy", "10.1.2.3:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"behind a proxy by IPv6", "[fd00::1]:1234", []string{"2001:db8::1"}, "2001:db8::1"},
		{"behind a proxy of IPv4 in IPv6", "172.16.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy's IPv4 in IPv6", "[::ffff:10.1.2.3]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a single trusted address", "192.0.2.7:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"its neighbour", "192.0.2.8:1", []string{"198.51.100.1"}, "192.0.2.8"},
		{"behind two proxies", "10.1.2.3:1234", []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"behind two, in two headers", "10.1.2.3:1234", []string{"198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		{"what the client invented", "10.1.2.3:1234", []string{"127.0.0.1, 203.0.113.5 , 198.51.100.1,10.9.9.9"}, "198.51.100.1"},
		{"an invented proxy", "10.1.2.3:1234", []string{"203.0.113.5, 10.8.8.8, 198.51.100.1"}, "198.51.100.1"},
		{"an invented header before", "10.1.2.3:1234", []string{"203.0.113.5", "198.51.100.1"}, "198.51.100.1"},
		{"proxies only", "10.1.2.3:1234", []string{"10.0.0.1, 10.0.0.2"}, "10.0.0.1"},
		{"with a port", "10.1.2.3:1234", []string{"198.51.100.1:5555"}, "198.51.100.1"},
		{"IPv6 with a port", "10.1.2.3:1234", []string{`"[2001:db8::1]:5555"`}, "2001:db8::1"},
		{"IPv6 in brackets", "10.1.2.3:1234", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"tabs", "10.1.2.3:1234", []string{"x,\t198.51.100.1\t"}, "198.51.100.1"},

		{"unknown", "10.1.2.3:1234", []string{"unknown"}, "10.1.2.3"},
		{"a name", "10.1.2.3:1234", []string{"198.51.100.1, client.example"}, "10.1.2.3"},
		{"garbage behind a proxy", "10.1.2.3:1234", []string{"198.51.100.1, ;;, 10.0.0.1"}, "10.1.2.3"},
		{"garbage that the client invented", "10.1.2.3:1234", []string{";;, 198.51.100.1"}, "198.51.100.1"},
		{"an empty header", "10.1.2.3:1234", []string{""}, "10.1.2.3"},
		{"an empty entry", "10.1.2.3:1234", []string{"198.51.100.1, "}, "10.1.2.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			var want netip.Addr
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			if got := proxies.Of(r); got != want {
				t.Errorf("%v, want %v", got, want)
			}
			if got := access.NewPeers(nil).Of(r); c.forwarded != nil && got != access.NewPeers(nil).Of(&http.Request{RemoteAddr: c.peer}) {
				t.Errorf("without trusted proxies: %v", got)
			}
		})
	}
}

// Nothing that a client writes before what the proxy adds changes where it comes from.
func TestPeersProperty(t *testing.T) {
	p := access.NewPeers([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	entries := rapid.OneOf(rapid.SampledFrom([]string{"10.0.0.1", "198.51.100.1", "::1", "", " ", `"`, "unknown", "[", "]", "1.2.3.4:", ","}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		invented := rapid.SliceOfN(entries, 0, 5).Draw(t, "invented")
		header := slices.Clone(invented)
		last := "203.0.113.77"
		if n := len(header); n > 0 && rapid.Bool().Draw(t, "one header") {
			header[n-1] += ", " + last
		} else {
			header = append(header, last)
		}
		r := &http.Request{RemoteAddr: "10.0.0.9:1", Header: http.Header{"X-Forwarded-For": header}}
		if got := p.Of(r); got != netip.MustParseAddr(last) {
			t.Fatalf("%q: %v", header, got)
		}
	})
}
