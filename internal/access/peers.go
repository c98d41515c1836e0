package access

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Peers tells from which address a request comes. It is immutable.
type Peers struct{ trusted []netip.Prefix }

// NewPeers believes what the proxies in these networks say about whom they pass requests on for.
func NewPeers(trusted []netip.Prefix) *Peers {
	p := &Peers{}
	for _, prefix := range trusted {
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		p.trusted = append(p.trusted, prefix)
	}
	return p
}

// Of returns the address of the client that sent r: the connection's peer, or where that is a trusted proxy, the last
// address in X-Forwarded-For that is not one. It is the zero value where there is no address (a Unix socket).
//
// Each proxy appends whom it got the request from, so what stands before the last untrusted address may be invented. An
// entry that is no address (a proxy that hides its clients writes "unknown") ends the search: such requests count for the
// proxy that they came by.
func (p *Peers) Of(r *http.Request) netip.Addr {
	if p == nil {
		return netip.Addr{}
	}
	peer := parseAddr(r.RemoteAddr)
	if !p.trusts(peer) {
		return peer
	}
	client := peer
	for _, header := range slices.Backward(r.Header.Values("X-Forwarded-For")) {
		for header != "" {
			var entry string
			header, entry = cutLast(header)
			ip := parseAddr(strings.Trim(entry, " \t\""))
			if !ip.IsValid() {
				return peer
			}
			if client = ip; !p.trusts(ip) {
				return client
			}
		}
	}
	return client // all of them are proxies: the first sent it itself
}

// cutLast cuts the last entry off a list.
func cutLast(list string) (rest, last string) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:]
	}
	return "", list
}

func (p *Peers) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(prefix netip.Prefix) bool { return prefix.Contains(ip) })
}

// parseAddr reads an address, with a port or without; the zero value where s is none. IPv4 in IPv6 becomes IPv4, and a
// zone is dropped.
func parseAddr(s string) netip.Addr {
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") == 1 { // as RemoteAddr has them; an error costs more than a look
		if withPort, err := netip.ParseAddrPort(s); err == nil {
			return withPort.Addr().Unmap().WithZone("")
		}
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		ip = withPort.Addr()
	}
	return ip.Unmap().WithZone("")
}
