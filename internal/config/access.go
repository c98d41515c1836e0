package config

import (
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// origins checks that each origin is written exactly as browsers send it, since it is compared byte for byte.
func (r *check) origins() []string {
	origins := r.Config.GetCors().GetOrigins()
	for i, origin := range origins {
		field := element("cors.origins", i)
		if slices.Contains(origins[:i], origin) {
			r.add(field, "%q is listed twice; leave one out", origin)
			continue
		}
		if problem := originProblem(origin); problem != "" {
			r.add(field, "%q is not an origin: %s", origin, problem)
		}
	}
	if r.Config.GetCors().GetCredentials() && len(origins) == 0 {
		r.add("cors.credentials", "has no effect without origins; list the origins that may send credentials")
	}
	return slices.Clone(origins)
}

// originProblem says what keeps s from being an origin; empty if nothing does.
func originProblem(s string) string {
	if strings.Contains(s, "*") {
		return "wildcards are not supported; list each origin in full, such as https://app.example.com"
	}
	if s == "null" {
		return "every sandboxed page and file has this one; serve the page from an origin of its own"
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "the scheme is missing; write https://" + strings.TrimRight(s, "/")
	}
	u, err := url.Parse(s)
	switch {
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"):
	default:
		return "the scheme is " + scheme + "; browsers send http or https"
	}
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "the host is missing or malformed; write " + strings.ToLower(scheme) + "://app.example.com"
	case u.User != nil:
		return "it holds a user name; write " + scheme + "://" + u.Host
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(rest, "#"):
		return "nothing may follow the host and port, not even a slash; write " + scheme + "://" + u.Host
	case u.Port() != "" && !isPort(u.Port(), 1), strings.HasSuffix(u.Host, ":"):
		return "the port is not a number from 1 to 65535"
	case strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 || c <= ' ' }):
		return "the host holds characters that browsers send in punycode; write it as xn--…"
	case scheme == "https" && u.Port() == "443", scheme == "http" && u.Port() == "80":
		return "browsers leave the default port out; write " + scheme + "://" + u.Host[:strings.LastIndex(u.Host, ":")]
	case s != strings.ToLower(s):
		return "browsers send it in lower case; write " + strings.ToLower(s)
	}
	return ""
}

// ownHeaders are headers that the bridge or gRPC sets itself on a call, or that are about one connection only.
var ownHeaders = []string{
	"connection", "content-length", "content-type", "host", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade", "user-agent",
}

func (r *check) forward() []string {
	if r.Config.GetForwardMetadata() == nil {
		return slices.Clone(defaultForward)
	}
	headers := r.Config.GetForwardMetadata().GetHeaders()
	for i, name := range headers {
		field := element("forward_metadata.headers", i)
		if slices.Contains(headers[:i], name) {
			r.add(field, "%q is listed twice; leave one out", name)
		} else if problem := metadataProblem(name); problem != "" {
			r.add(field, "%q cannot be forwarded: %s", name, problem)
		}
	}
	return slices.Clone(headers)
}

// unkeyed checks that what is not keyed is forwarded at all.
func (r *check) unkeyed() []string {
	names := r.Config.GetForwardMetadata().GetUnkeyed()
	for i, name := range names {
		field := element("forward_metadata.unkeyed", i)
		switch {
		case slices.Contains(names[:i], name):
			r.add(field, "%q is listed twice; leave one out", name)
		case !slices.Contains(r.Config.GetForwardMetadata().GetHeaders(), name):
			r.add(field, "%q is not forwarded; add it to forward_metadata.headers, or leave it out here", name)
		}
	}
	return slices.Clone(names)
}

// responseMetadata checks that none of the names is a header that HTTP, a proxy or the bridge itself goes by.
func (r *check) responseMetadata() []string {
	names := r.Config.GetResponseMetadata()
	for i, name := range names {
		field := element("response_metadata", i)
		if slices.Contains(names[:i], name) {
			r.add(field, "%q is listed twice; leave one out", name)
		} else if problem := responseProblem(name); problem != "" {
			r.add(field, "%q cannot be a response header: %s", name, problem)
		}
	}
	return slices.Clone(names)
}

// responseHeaders are those of responses that mean something to browsers and proxies, and that the bridge sets itself or
// must not let a backend set.
var responseHeaders = []string{
	"accept-ranges", "age", "allow", "alt-svc", "cache-control", "clear-site-data", "content-disposition", "content-encoding",
	"content-language", "content-location", "content-range", "date", "etag", "expires", "last-modified", "link", "location",
	"pragma", "proxy-authenticate", "refresh", "retry-after", "server", "strict-transport-security", "vary", "via",
	"www-authenticate", "x-accel-buffering", "x-accel-redirect", "x-content-type-options", "x-sendfile",
}

// responseFamilies are the beginnings of names of such headers.
var responseFamilies = []string{"access-control-", "content-security-policy", "cross-origin-", "proxy-", "sec-", "x-accel-"}

// responseProblem says why metadata of that name cannot be a response header; empty if it can.
func responseProblem(name string) string {
	if problem := metadataProblem(name); problem != "" {
		return problem
	}
	family := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	switch {
	case name == "set-cookie":
		return "cookies are how browsers prove who they are, and no backend may hand them out here"
	case slices.Contains(responseHeaders, name), slices.ContainsFunc(responseFamilies, family):
		return "browsers and proxies go by it, and only the bridge sets it; give the metadata a name of its own"
	}
	return ""
}

// trustedProxies reads addresses and networks.
func (r *check) trustedProxies() []netip.Prefix {
	var proxies []netip.Prefix
	for i, text := range r.Config.GetTrustedProxies() {
		proxy, problem := parseNetwork(text)
		if problem == "" && slices.Contains(proxies, proxy) {
			problem = "it is listed twice; leave one out"
		}
		if problem != "" && text != "" { // an empty one was reported by validate
			r.add(element("trusted_proxies", i), "%q: %s", text, problem)
		}
		proxies = append(proxies, proxy)
	}
	return proxies
}

// parseNetwork reads an address (a network of one) or a network, and says what is wrong with it.
func parseNetwork(text string) (network netip.Prefix, problem string) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), ""
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return network, "not an address or a network; write, for example, 10.0.0.7, 10.0.0.0/8 or fd00::/8"
	case network.Addr().Is4In6():
		return network, "an IPv4 network in IPv6 notation; write it as IPv4, such as 10.0.0.0/8"
	case network != network.Masked():
		return network, "an address inside a network; write " + network.Masked().String() + " for the network, or the address alone"
	case network.Bits() == 0:
		return network, "everybody would be believed, so that any client could name any address; list the proxies' own networks"
	}
	return network, ""
}

// metadataProblem says why name cannot be the name of metadata; empty if it can.
func metadataProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return "a name is made of letters, digits, '-', '_' and '.'"
	case name != lower:
		return "write it in lower case: " + lower
	case strings.HasPrefix(name, "grpc-"):
		return "names that begin with grpc- belong to gRPC"
	case strings.HasSuffix(name, "-bin"):
		return "names that end in -bin are binary in gRPC, and headers are text"
	case slices.Contains(ownHeaders, name):
		return "gRPC sets it itself, or it is about one connection only"
	}
	return ""
}

// isToken reports whether s can be the name of a header and of metadata; the same letters are fit for a cookie's name.
func isToken(s string) bool {
	bad := func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.'
	}
	return s != "" && !strings.ContainsFunc(s, bad)
}

func (r *check) principal() Principal {
	switch source := r.Config.GetPrincipal().GetSource().(type) {
	case *configv1.Principal_Header:
		switch {
		case strings.EqualFold(source.Header, "cookie"):
			r.add("principal.header", "all cookies together are nobody's name; write principal: {cookie: NAME}")
		case !isToken(source.Header):
			r.add("principal.header", "%q is not the name of a header", source.Header)
		}
		return Principal{Header: textproto.CanonicalMIMEHeaderKey(source.Header)}
	case *configv1.Principal_Cookie:
		if !isToken(source.Cookie) {
			r.add("principal.cookie", "%q is not the name of a cookie", source.Cookie)
		}
		return Principal{Cookie: source.Cookie}
	}
	return Principal{} // a section without a source was reported by validate
}
