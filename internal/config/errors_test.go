package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

const up = "upstreams: [{target: 'a:1'}]\n"

func TestErrors(t *testing.T) {
	tests := []struct {
		name string
		text string
		want string // lines
	}{
		// The shape of the file.
		{"unknown key", up + "lissten: ':1'", `test.yaml:2:1: lissten: unknown key; did you mean "listen"? the keys here are ` +
			`listen, admin, upstreams, expose, cors, rules, limits, forward_metadata, principal, open_window, heartbeat, ` +
			`max_connection_age, write_timeout, drain_window, log, tls, compression, trusted_proxies, response_metadata, unary_timeout`},
		{"unknown key below", up + "limits:\n  log_byte: 5Mi", `test.yaml:3:3: limits.log_byte: unknown key; did you mean "log_bytes"? ` +
			`the keys here are connections, log_bytes, request_bytes, connections_per_ip, connections_per_principal, readers_per_stream, ` +
			`calls, header_bytes`},
		{"unknown key like none", up + "cors: {xyzzy: 1}", `test.yaml:2:8: cors.xyzzy: unknown key; the keys here are origins, credentials`},
		{"key by number", up + "1: ':1'", `test.yaml:2:1: 1: unknown key; the keys here are listen, admin, upstreams, expose, cors, ` +
			`rules, limits, forward_metadata, principal, open_window, heartbeat, max_connection_age, write_timeout, drain_window, log, ` +
			`tls, compression, trusted_proxies, response_metadata, unary_timeout`},
		{"key twice", up + "listen: ':1'\nadmin: ':2'\nlisten: ':3'", `test.yaml:4:1: listen: is written twice, first in line 2; keep one of the two`},
		{"key twice in two spellings", up + "limits:\n  log_bytes: 2Mi\n  logBytes: 3Mi", `test.yaml:4:3: limits.log_bytes: is written twice, first in line 3; keep one of the two`},
		{
			"map key twice", "upstreams:\n- target: a:1\n  metadata:\n    x: {value: a}\n    x: {value: b}",
			`test.yaml:5:5: upstreams[0].metadata["x"]: is written twice, first in line 4; keep one of the two`,
		},
		{"no value", up + "listen:", `test.yaml:2:8: listen: has no value; give it one or leave the key out ({} is an empty section, [] an empty list)`},
		{"tls without a value", "upstreams:\n- target: a:1\n  tls:", `test.yaml:3:7: upstreams[0].tls: has no value; give it one or leave the key out ({} is an empty section, [] an empty list)`},
		{"null in a list", up + "expose: [~]", `test.yaml:2:10: expose[0]: has no value; give it one or leave the key out ({} is an empty section, [] an empty list)`},
		{"alias", up + "listen: &a ':1'\nadmin: *a", `test.yaml:3:8: admin: an alias (*a) stands here; write the value out`},
		{"bare star", up + "expose: [*]", `test.yaml:2: not YAML: did not find expected alphabetic or numeric character (a value that begins with * or & must be quoted: "*")`},
		{"not YAML", up + "cors: {origins", `test.yaml:1: not YAML: did not find expected ',' or '}'`},
		{"not a mapping", "hello", `test.yaml:1:1: expected fields for grpcsse.config.v1.Config, got scalar`},
		{"two documents", up + "---\nlisten: ':1'", `test.yaml:2: a second document begins here; a config is one document`},
		{"odd line end", "listen: ':1'\n" + "admin: ':2'\r" + up, `test.yaml:2: a line ends in neither LF nor CR LF; use one of these everywhere`},
		{"list for a scalar", up + "listen: [1]", `test.yaml:2:9: listen: expected scalar, got sequence`},
		{"scalar for a list", up + "expose: a.B/C", `test.yaml:2:9: expose: expected sequence, got scalar`},
		{
			"scalar for a secret", "upstreams: [{target: 'a:1', metadata: {authorization: s3cret}}]",
			`test.yaml:1:55: upstreams[0].metadata["authorization"]: expected fields for grpcsse.config.v1.Secret, got scalar`,
		},
		{"duration without a unit", up + "heartbeat: 8", `test.yaml:2:12: heartbeat: invalid duration: missing unit, expected one of [h m s ms us ns]`},
		{"bad duration", up + "heartbeat: soon", `test.yaml:2:12: heartbeat: invalid number, expected digit`},
		{
			"bad enum", up + "rules: [{selector: a.B.C, stream: {on_lost: RESTRAT}}]",
			`test.yaml:2:45: rules[0].stream.on_lost: no value is called "RESTRAT"; did you mean "RESTART"? use one of ON_LOST_UNSPECIFIED, RESTART, END`,
		},
		{
			"enum by number", up + "rules: [{selector: a.B.C, stream: {on_lost: 1}}]",
			`test.yaml:2:45: rules[0].stream.on_lost: no value is called "1"; use one of ON_LOST_UNSPECIFIED, RESTART, END`,
		},
		{"bad bool", up + "cors: {credentials: yes}", `test.yaml:2:21: cors.credentials: expected bool, got "yes"`},
		{"bad number", up + "limits: {connections: many}", `test.yaml:2:23: limits.connections: invalid integer: invalid number, expected digit`},
		{"several at once", "lissten: 1\nheartbeat: 8\n" + up, "test.yaml:1:1: lissten: unknown key; did you mean \"listen\"? the keys here are " +
			"listen, admin, upstreams, expose, cors, rules, limits, forward_metadata, principal, open_window, heartbeat, max_connection_age, " +
			"write_timeout, drain_window, log, tls, compression, trusted_proxies, response_metadata, unary_timeout\ntest.yaml:2:12: heartbeat: invalid duration: missing unit, expected one of [h m s ms us ns]"},

		// Bounds from the schema.
		{"heartbeat too short", up + "heartbeat: 500ms", `test.yaml:2:12: heartbeat: must be greater than or equal to 1s and less than or equal to 60s`},
		{"negative window", up + "drain_window: -1s", `test.yaml:2:15: drain_window: must be greater than or equal to 0s and less than or equal to 3600s`},
		{"bad log format", up + "log: {format: xml}", `test.yaml:2:15: log.format: must be in list [text, json]`},
		{"too small a log", up + "limits: {log_bytes: 1000}", `test.yaml:2:21: limits.log_bytes: must be greater than or equal to 1048576`},
		{"too many connections of a pool", "upstreams: [{target: 'a:1', max_connections: 1025}]", `test.yaml:1:46: upstreams[0].max_connections: must be less than or equal to 1024`},
		{"no target", "upstreams: [{name: a}]", `test.yaml:1:13: upstreams[0].target: must be at least 1 characters`},
		{"empty secret", "upstreams: [{target: 'a:1', metadata: {x: {}}}]", `test.yaml:1:43: upstreams[0].metadata["x"].source: exactly one field is required in oneof`},
		{"empty principal", up + "principal: {}", `test.yaml:2:12: principal.source: exactly one field is required in oneof`},
		{"empty pattern", up + "expose: ['']", `test.yaml:2:10: expose[0]: must be at least 1 characters`},

		{"unary timeout too short", up + "unary_timeout: 1ms", `test.yaml:2:16: unary_timeout: must be greater than or equal to 0.01s and less than or equal to 3600s`},
		{"too small heads", up + "limits: {header_bytes: 1k}", `test.yaml:2:24: limits.header_bytes: must be greater than or equal to 4096 and less than or equal to 1048576`},
		{"unknown encoding", up + "compression: {encodings: [gzip, deflate]}", `test.yaml:2:33: compression.encodings[1]: must be in list [gzip, zstd, br]`},
		{"encoding twice", up + "compression: {encodings: [gzip, gzip]}", `test.yaml:2:26: compression.encodings: repeated value must contain unique items`},

		// Addresses.
		{"listen without a port", up + "listen: localhost", `test.yaml:2:9: listen: "localhost" is not HOST:PORT; write, for example, 127.0.0.1:8080`},
		{"listen on a URL", up + "listen: http://localhost:80/", `test.yaml:2:9: listen: "http://localhost:80/" is not HOST:PORT; an IPv6 address stands in brackets: [::1]:8080`},
		{"listen on IPv6 without brackets", up + "listen: '::1:80'", `test.yaml:2:9: listen: "::1:80" is not HOST:PORT; an IPv6 address stands in brackets: [::1]:8080`},
		{"listen on a bad port", up + "listen: ':70000'", `test.yaml:2:9: listen: "70000" is not a port; give a number from 0 (any free port) to 65535`},
		{"admin as listen", up + "admin: '127.0.0.1:8080'", `test.yaml:2:8: admin: 127.0.0.1:8080 is the address of listen too; give them different ports`},

		// Upstreams.
		{"target without a port", "upstreams: [{target: localhost}]", `test.yaml:1:22: upstreams[0].target: "localhost" has no port; write, for example, localhost:9090`},
		{"dns target without a port", "upstreams: [{target: 'dns:///prices'}]", `test.yaml:1:22: upstreams[0].target: "prices" has no port; write, for example, prices:9090`},
		{
			"target is a URL", "upstreams: [{target: 'https://prices:443/'}]",
			`test.yaml:1:22: upstreams[0].target: "https://prices:443/" is a URL; write the HOST:PORT of the gRPC server: prices:443 (TLS is switched on by the upstream's tls section)`,
		},
		{"target of an unknown scheme", "upstreams: [{target: 'gopher://x'}]", `test.yaml:1:22: upstreams[0].target: "gopher://x": gRPC knows no scheme gopher; write HOST:PORT, dns:///HOST:PORT or unix:///PATH`},
		{"target with a bad port", "upstreams: [{target: 'a:b'}]", `test.yaml:1:22: upstreams[0].target: "a:b": "b" is not a port; give a number from 1 to 65535`},
		{"target on bare IPv6", "upstreams: [{target: '::1'}]", `test.yaml:1:22: upstreams[0].target: "::1" is not HOST:PORT; an IPv6 address stands in brackets: [::1]:9090`},
		{
			"one name twice", "upstreams:\n- {name: a, target: 'a:1'}\n- {name: a, target: 'b:1'}",
			`test.yaml:3:10: upstreams[1].name: "a" is the name of another upstream already (line 2); names must be unique, and an upstream without one is called by its target`,
		},
		{
			"name is another's target", "upstreams:\n- {target: 'a:1'}\n- {name: 'a:1', target: 'b:1'}",
			`test.yaml:3:10: upstreams[1].name: "a:1" is the name of another upstream already (line 2); names must be unique, and an upstream without one is called by its target`,
		},
		{"name with a space", "upstreams: [{name: 'a b', target: 'a:1'}]", `test.yaml:1:20: upstreams[0].name: "a b" holds white space or control characters; use letters, digits and dashes`},
		{
			"metadata of gRPC", "upstreams: [{target: 'a:1', metadata: {grpc-timeout: {value: 1s}}}]",
			`test.yaml:1:54: upstreams[0].metadata["grpc-timeout"]: "grpc-timeout" cannot be sent: names that begin with grpc- belong to gRPC`,
		},
		{
			"metadata in upper case", "upstreams: [{target: 'a:1', metadata: {X-Key: {value: 1s}}}]",
			`test.yaml:1:47: upstreams[0].metadata["X-Key"]: "X-Key" cannot be sent: write it in lower case: x-key`,
		},
		{
			"unset variable", "upstreams: [{target: 'a:1', metadata: {x: {env: GRPC_SSE_TEST_UNSET}}}]",
			`test.yaml:1:49: upstreams[0].metadata["x"].env: the environment variable "GRPC_SSE_TEST_UNSET" is not set`,
		},
		{"empty secret value", "upstreams: [{target: 'a:1', metadata: {x: {value: ''}}}]", `test.yaml:1:43: upstreams[0].metadata["x"]: is empty; give it a value or leave it out`},
		{
			"secret with a line break", "upstreams: [{target: 'a:1', metadata: {x: {value: \"s3\\ncret\"}}}]",
			`test.yaml:1:43: upstreams[0].metadata["x"]: holds a line break or another character that is not printable ASCII`,
		},
		{"certificate without key", "upstreams: [{target: 'a:1', tls: {cert_file: a}}]", `test.yaml:1:46: upstreams[0].tls.cert_file: a certificate without its key; give key_file too`},
		{"key without certificate", "upstreams: [{target: 'a:1', tls: {key_file: a}}]", `test.yaml:1:45: upstreams[0].tls.key_file: a key without a certificate; give cert_file too`},

		// Methods.
		{"bad pattern", up + "expose: [a.B/C/D]", `test.yaml:2:10: expose[0]: "a.B/C/D" names no method; write pkg.Service/Method, pkg.Service/* or *`},
		{"pattern of a package", up + "expose: [a.*]", `test.yaml:2:10: expose[0]: "a.*" names no method; write pkg.Service/Method, pkg.Service/* or *`},
		{"pattern of one word", up + "expose: [prices]", `test.yaml:2:10: expose[0]: "prices" names no method; write pkg.Service/Method, pkg.Service/* or *`},
		{"rule for many", up + "rules: [{selector: a.B/*}]", `test.yaml:2:20: rules[0].selector: "a.B/*" has a wildcard; a rule is for one method: pkg.Service.Method`},
		{"rule for none", up + "rules: [{selector: prices}]", `test.yaml:2:20: rules[0].selector: "prices" names no method; write pkg.Service.Method`},
		{"rules for the same", up + "rules:\n- {selector: a.B/C}\n- {selector: a.B.C}", `test.yaml:4:14: rules[1].selector: "a.B.C" has a rule already (line 3); put both into one`},
		{"selector in http", up + "rules: [{selector: a.B.C, http: {selector: a.B.C, get: /x}}]", `test.yaml:2:44: rules[0].http.selector: must be left out: the rule's own selector names the method`},

		// Access.
		{"credentials for nobody", up + "cors: {credentials: true}", `test.yaml:2:21: cors.credentials: has no effect without origins; list the origins that may send credentials`},
		{"origin twice", up + "cors: {origins: ['http://a', 'http://a']}", `test.yaml:2:30: cors.origins[1]: "http://a" is listed twice; leave one out`},
		{"forward in upper case", up + "forward_metadata: {headers: [Authorization]}", `test.yaml:2:30: forward_metadata.headers[0]: "Authorization" cannot be forwarded: write it in lower case: authorization`},
		{"forward grpc-", up + "forward_metadata: {headers: [grpc-status]}", `test.yaml:2:30: forward_metadata.headers[0]: "grpc-status" cannot be forwarded: names that begin with grpc- belong to gRPC`},
		{"forward -bin", up + "forward_metadata: {headers: [x-bin]}", `test.yaml:2:30: forward_metadata.headers[0]: "x-bin" cannot be forwarded: names that end in -bin are binary in gRPC, and headers are text`},
		{"forward a header of the connection", up + "forward_metadata: {headers: [te]}", `test.yaml:2:30: forward_metadata.headers[0]: "te" cannot be forwarded: gRPC sets it itself, or it is about one connection only`},
		{"forward nonsense", up + "forward_metadata: {headers: ['a b']}", `test.yaml:2:30: forward_metadata.headers[0]: "a b" cannot be forwarded: a name is made of letters, digits, '-', '_' and '.'`},
		{"forward twice", up + "forward_metadata: {headers: [a, a]}", `test.yaml:2:33: forward_metadata.headers[1]: "a" is listed twice; leave one out`},
		{"principal by all cookies", up + "principal: {header: Cookie}", `test.yaml:2:21: principal.header: all cookies together are nobody's name; write principal: {cookie: NAME}`},
		{"principal by a bad header", up + "principal: {header: 'a:b'}", `test.yaml:2:21: principal.header: "a:b" is not the name of a header`},
		{"principal by a bad cookie", up + "principal: {cookie: ''}", `test.yaml:2:21: principal.cookie: "" is not the name of a cookie`},
		{"principal by both", up + "principal: {header: a, cookie: b}", `test.yaml:2:32: principal.cookie: field header is already set for oneof source`},
		{"limit for nobody", up + "limits: {connections_per_principal: 6}", `test.yaml:2:37: limits.connections_per_principal: has no effect without principal, where every request is anonymous; say in principal who a request comes from`},
		{"unkeyed and not forwarded", up + "forward_metadata: {headers: [a], unkeyed: [a, b]}", `test.yaml:2:47: forward_metadata.unkeyed[1]: "b" is not forwarded; add it to forward_metadata.headers, or leave it out here`},
		{"unkeyed twice", up + "forward_metadata: {headers: [a], unkeyed: [a, a]}", `test.yaml:2:47: forward_metadata.unkeyed[1]: "a" is listed twice; leave one out`},
		{"response in upper case", up + "response_metadata: [X-Total]", `test.yaml:2:21: response_metadata[0]: "X-Total" cannot be a response header: write it in lower case: x-total`},
		{"response twice", up + "response_metadata: [a, a]", `test.yaml:2:24: response_metadata[1]: "a" is listed twice; leave one out`},
		{"response grpc-", up + "response_metadata: [grpc-status]", `test.yaml:2:21: response_metadata[0]: "grpc-status" cannot be a response header: names that begin with grpc- belong to gRPC`},
		{"response -bin", up + "response_metadata: [x-bin]", `test.yaml:2:21: response_metadata[0]: "x-bin" cannot be a response header: names that end in -bin are binary in gRPC, and headers are text`},
		{"response of the connection", up + "response_metadata: [content-length]", `test.yaml:2:21: response_metadata[0]: "content-length" cannot be a response header: gRPC sets it itself, or it is about one connection only`},
		{"cookies", up + "response_metadata: [set-cookie]", `test.yaml:2:21: response_metadata[0]: "set-cookie" cannot be a response header: cookies are how browsers prove who they are, and no backend may hand them out here`},
		{"proxy is a name", up + "trusted_proxies: [10.0.0.1, proxy]", `test.yaml:2:29: trusted_proxies[1]: "proxy": not an address or a network; write, for example, 10.0.0.7, 10.0.0.0/8 or fd00::/8`},
		{"proxy with a zone", up + "trusted_proxies: ['fe80::1%eth0']", `test.yaml:2:19: trusted_proxies[0]: "fe80::1%eth0": not an address or a network; write, for example, 10.0.0.7, 10.0.0.0/8 or fd00::/8`},
		{"proxy inside a network", up + "trusted_proxies: [10.1.2.3/8]", `test.yaml:2:19: trusted_proxies[0]: "10.1.2.3/8": an address inside a network; write 10.0.0.0/8 for the network, or the address alone`},
		{"proxies everywhere", up + "trusted_proxies: ['::/0']", `test.yaml:2:19: trusted_proxies[0]: "::/0": everybody would be believed, so that any client could name any address; list the proxies' own networks`},
		{"proxies of IPv4 in IPv6", up + "trusted_proxies: ['::ffff:10.0.0.0/104']", `test.yaml:2:19: trusted_proxies[0]: "::ffff:10.0.0.0/104": an IPv4 network in IPv6 notation; write it as IPv4, such as 10.0.0.0/8`},
		{"proxy twice", up + "trusted_proxies: [10.0.0.1, 10.0.0.1/32]", `test.yaml:2:29: trusted_proxies[1]: "10.0.0.1/32": it is listed twice; leave one out`},
		{"empty proxy", up + "trusted_proxies: ['']", `test.yaml:2:19: trusted_proxies[0]: must be at least 1 characters`},
		{"empty TLS", up + "tls: {}", `test.yaml:2:6: tls: needs a certificate and its key: give cert_file and key_file`},
		{"TLS without a key", up + "tls: {cert_file: a}", `test.yaml:2:18: tls.cert_file: a certificate without its key; give key_file too`},
		{"TLS without a certificate", up + "tls: {key_file: a}", `test.yaml:2:17: tls.key_file: a key without a certificate; give cert_file too`},
		{"more connections than files", up + "limits: {connections: 4000000000}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := config.Parse("test.yaml", []byte(tt.text))
			if err == nil {
				_, err = l.Resolve()
			}
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), "raise the limit") {
					t.Errorf("got %v", err)
				}
				return
			}
			wantErrors(t, err, strings.Split(tt.want, "\n"))
			if strings.Contains(err.Error(), "s3") {
				t.Error("the message shows a secret")
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	tests := []struct{ origin, problem string }{
		{"https://app.example.com", ""},
		{"http://localhost:3000", ""},
		{"http://[::1]:3000", ""},
		{"https://xn--mnchen-3ya.example", ""},
		{"*", "wildcards are not supported; list each origin in full, such as https://app.example.com"},
		{"https://*.example.com", "wildcards are not supported; list each origin in full, such as https://app.example.com"},
		{"null", "every sandboxed page and file has this one; serve the page from an origin of its own"},
		{"app.example.com", "the scheme is missing; write https://app.example.com"},
		{"", "the scheme is missing; write https://"},
		{"https://x/", "nothing may follow the host and port, not even a slash; write https://x"},
		{"https://x/path", "nothing may follow the host and port, not even a slash; write https://x"},
		{"https://x?", "nothing may follow the host and port, not even a slash; write https://x"},
		{"https://x#", "nothing may follow the host and port, not even a slash; write https://x"},
		{"https://user@x", "it holds a user name; write https://x"},
		{"ftp://x", "the scheme is ftp; browsers send http or https"},
		{"https://", "the host is missing or malformed; write https://app.example.com"},
		{"https://:443", "the host is missing or malformed; write https://app.example.com"},
		{"https://x:", "the port is not a number from 1 to 65535"},
		{"https://x:70000", "the port is not a number from 1 to 65535"},
		{"https://x:port", "the host is missing or malformed; write https://app.example.com"},
		{"https://x:443", "browsers leave the default port out; write https://x"},
		{"http://x:80", "browsers leave the default port out; write http://x"},
		{"https://App.example.com", "browsers send it in lower case; write https://app.example.com"},
		{"HTTPS://x", "browsers send it in lower case; write https://x"},
		{"https://münchen.example", "the host holds characters that browsers send in punycode; write it as xn--…"},
	}
	for _, tt := range tests {
		l := config.New()
		l.Config = mustParse(t, up+"cors: {origins: ['"+tt.origin+"']}").Config
		_, err := l.Resolve()
		if tt.problem == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.origin, err)
			}
			continue
		}
		if want := `cors.origins[0]: "` + tt.origin + `" is not an origin: ` + tt.problem; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func mustParse(t *testing.T, text string) *config.Loaded {
	t.Helper()
	l, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// No header that means something to browsers or proxies can come from a backend.
func TestResponseMetadata(t *testing.T) {
	for _, name := range []string{
		"content-type", "content-length", "content-encoding", "content-disposition", "connection", "transfer-encoding", "cache-control",
		"vary", "set-cookie", "access-control-allow-origin", "access-control-expose-headers", "retry-after", "location", "etag",
		"strict-transport-security", "content-security-policy", "content-security-policy-report-only", "cross-origin-opener-policy",
		"x-accel-redirect", "x-accel-buffering", "x-content-type-options", "www-authenticate", "clear-site-data", "alt-svc",
		"sec-websocket-accept", "host", "date", "trailer", "upgrade", "a b", "", ":status",
	} {
		_, err := mustParse(t, up+"response_metadata: ['"+name+"']").Resolve()
		if err == nil || !strings.Contains(err.Error(), "response_metadata[0]") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads every file")
	}
	dir := t.TempDir()
	write(t, dir, "key", "x")
	if err := os.Chmod(filepath.Join(dir, "key"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(filepath.Join(dir, "key"))
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing.yaml"): "read the config file: " + dir + "/nothing.yaml: no such file or directory",
		dir:                                "read the config file: " + dir + ": is a folder; name a file in it",
		write(t, dir, "huge", strings.Repeat("# \n", 400_000)):               "read the config file: " + dir + "/huge: is larger than 1048576 bytes; is it the right file?",
		write(t, dir, "bad.yaml", "upstreams: [{target: 'a:1'}]\nlog: text"): dir + "/bad.yaml:2:6: log: expected fields for grpcsse.config.v1.Log, got scalar",
	} {
		if _, err := config.Load(path); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// No text may make it panic: the libraries below index lines by what YAML counts.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		up, "", "a: b\n---\n", "listen: !!binary x", "? [a]\n: b", "<<: *a", "upstreams:\n  - {}\n  -\n", "{\"expose\": [null]}",
		"log:\n\tx", "limits: {log_bytes: 99999999999999999999}", "upstreams: [{metadata: {? {} : {}}}]", "heartbeat: \"\"",
		"rules: [{stream: {[x]: 1}}]", "%YAML 1.1\n---\n{}", "listen: |\n  a\n  b", "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := config.Parse("fuzz.yaml", data)
		if (l == nil || l.Config == nil) && err == nil {
			t.Fatal("neither a config nor an error")
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml") {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for i := range l.Config.GetUpstreams() {
			l.Config.Upstreams[i].DescriptorSet, l.Config.Upstreams[i].Tls, l.Config.Upstreams[i].Metadata = "", nil, nil
		}
		_, _ = l.Resolve()
	})
}
