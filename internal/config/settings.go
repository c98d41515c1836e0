// Package config turns a config file and the flags of `grpc-sse serve` into the settings that a bridge runs with.
//
// The way is: [Load] reads a file (or [New] starts an empty config), flags change fields with [Loaded.Set], and
// [Loaded.Resolve] checks the whole, fills in every default and reads every file and secret. All defaults are in this
// package and nowhere else. Every error says where the value was written (file, line and column, or the flag), which
// field it is, what is wrong and what to do.
package config

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"google.golang.org/grpc/metadata"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// Defaults of what the config file and the flags leave out. The defaults of the stream options are those of the schema,
// not of the config.
const (
	DefaultListen           = "127.0.0.1:8080"
	DefaultAdmin            = "127.0.0.1:8081"
	DefaultOpenWindow       = 250 * time.Millisecond
	DefaultHeartbeat        = 8 * time.Second
	DefaultMaxConnectionAge = time.Hour
	DefaultWriteTimeout     = 20 * time.Second
	DefaultDrainWindow      = 20 * time.Second
	DefaultLogBytes         = 256 << 20 // where GOMEMLIMIT is not set; else a quarter of it
	DefaultRequestBytes     = 64 << 10
	DefaultHeaderBytes      = 32 << 10
	DefaultUnaryTimeout     = 30 * time.Second
	DefaultMaxConnections   = 64 // of one upstream's pool
	DefaultLogFormat        = "text"
	DefaultLogLevel         = slog.LevelInfo
)

// AdminOff is the admin address that switches the admin listener off.
const AdminOff = "off"

// defaultForward are the request headers that are forwarded where the config names none.
var defaultForward = []string{"authorization", "accept-language", "traceparent", "tracestate", "x-request-id"}

// Settings is what a bridge runs with: checked, complete, no defaults left to fill in. It is not changed after Resolve
// made it.
type Settings struct {
	// Listen is the HOST:PORT that browsers connect to. Port 0 is any free one.
	Listen string
	// TLS is how to speak TLS to clients; nil is plaintext.
	TLS *TLS
	// Admin is the HOST:PORT of /healthz and /readyz; empty for none.
	Admin string
	// Upstreams are the services to serve: at least one, names unique.
	Upstreams []Upstream
	// Expose are the patterns of methods to serve although neither an HTTP rule nor an option exposes them, as they were
	// written.
	Expose []string
	// Rules change how methods are served, as they were written.
	Rules []*configv1.Rule
	// Origins are the origins of other pages that may use the bridge: scheme://host[:port], lower case, no default port,
	// each once.
	Origins []string
	// Credentials is whether those pages may send cookies and HTTP authentication.
	Credentials bool
	// ForwardMetadata are the request headers that go to the backend as metadata: lower case, each once.
	ForwardMetadata []string
	// UnkeyedMetadata are those of ForwardMetadata by which shared calls are not told apart.
	UnkeyedMetadata []string
	// ResponseMetadata are the names of the backend's metadata that unary responses carry as headers: lower case, each
	// once.
	ResponseMetadata []string
	// Principal is the part of a request that tells who sends it.
	Principal Principal
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed, host bits zero, none of all addresses.
	TrustedProxies []netip.Prefix
	// Compression are the encodings that streams are offered in, best first: gzip, zstd, br. Empty for none.
	Compression []string
	// OpenWindow is how long a response waits for the backend's first sign of life; 0 does not wait.
	OpenWindow time.Duration
	// Heartbeat is the pause between heartbeats on a quiet connection, before it is varied.
	Heartbeat time.Duration
	// MaxConnectionAge is how long a connection lives, before it is varied.
	MaxConnectionAge time.Duration
	// WriteTimeout is how long one write to a client may take.
	WriteTimeout time.Duration
	// DrainWindow is how long streams may go on after the bridge was told to end; 0 ends them at once.
	DrainWindow time.Duration
	// UnaryTimeout is the deadline of unary calls, unless a client asks for an earlier one.
	UnaryTimeout time.Duration
	// Sockets is how many connections from clients may be open at once, whatever goes over them, so that the limit of open
	// files leaves some for backends, probes and files. At least 1.
	Sockets int
	// Connections is how many streams clients may have open in total, at least 1.
	Connections int
	// ConnectionsPerIP is how many streams one client address may have open; 0 is no limit.
	ConnectionsPerIP int
	// ConnectionsPerPrincipal is how many streams one principal may have open; 0 is no limit.
	ConnectionsPerPrincipal int
	// ReadersPerStream is how many readers one shared call may have; 0 is no limit.
	ReadersPerStream int
	// Calls is how many calls to all backends may run at once; 0 is no limit.
	Calls int
	// LogBytes is how many bytes all logs together may hold, at least 1 MiB.
	LogBytes int64
	// RequestBytes is the size of the largest request body, in bytes, at least 1.
	RequestBytes int64
	// HeaderBytes is the size of the largest head of a request, in bytes.
	HeaderBytes int
	// Log is how the bridge logs.
	Log Log
}

// TLS names the files of the bridge's certificate, which are read again when they change. When the settings were made
// they held a certificate and its key.
type TLS struct {
	// CertFile is a PEM file with the certificate and the intermediate ones.
	CertFile string
	// KeyFile is a PEM file with the key.
	KeyFile string
}

// Upstream is one gRPC service to serve.
type Upstream struct {
	// Name is its name in logs and routes, unique.
	Name string
	// Target is a gRPC target: HOST:PORT, dns:///HOST:PORT, unix:///PATH, ….
	Target string
	// TLS is how to speak TLS to it; nil is plaintext. ServerName is empty where the target's host is the name to expect.
	TLS *tls.Config
	// Metadata is what the bridge adds to every call, secrets resolved; nil for nothing.
	Metadata metadata.MD
	// DescriptorSet is the serialized FileDescriptorSet that describes it; nil where reflection does.
	DescriptorSet []byte
	// DescriptorSetFile is the file that DescriptorSet was read from, for messages.
	DescriptorSetFile string
	// MaxConnections is how many connections its pool may grow to, 1 to 1,024.
	MaxConnections int
}

// Principal names the part of a request that tells who sends it. At most one field is set; none means that every
// request is anonymous.
type Principal struct {
	// Header is a request header, in canonical form.
	Header string
	// Cookie is the name of a cookie.
	Cookie string
}

// Log is how the bridge logs.
type Log struct {
	// Format is "text" or "json".
	Format string
	// Level is the lowest level that is logged.
	Level slog.Level
}
