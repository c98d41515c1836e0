package config

import (
	"cmp"
	"errors"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/types/known/durationpb"
)

// validator is made once: making it takes longer than using it.
var validator = sync.OnceValues(func() (protovalidate.Validator, error) { return protovalidate.New() })

// Resolve checks the config, fills in the defaults and reads the files and secrets that it names. All that is wrong is
// reported in one error, whose parts are of type *Error; it is ErrNoUpstream where nothing else is wrong than that.
func (l *Loaded) Resolve() (*Settings, error) {
	if len(l.Config.GetUpstreams()) == 0 {
		return nil, ErrNoUpstream
	}
	r := check{Loaded: l}
	r.validate()
	c, limits := l.Config, l.Config.GetLimits()
	s := &Settings{
		Listen:                  r.address("listen", c.GetListen(), DefaultListen),
		TLS:                     r.serverTLS(),
		Admin:                   r.admin(),
		Upstreams:               r.upstreams(),
		Expose:                  r.expose(),
		Rules:                   r.rules(),
		Origins:                 r.origins(),
		Credentials:             c.GetCors().GetCredentials(),
		ForwardMetadata:         r.forward(),
		UnkeyedMetadata:         r.unkeyed(),
		ResponseMetadata:        r.responseMetadata(),
		Principal:               r.principal(),
		TrustedProxies:          r.trustedProxies(),
		Compression:             slices.Clone(c.GetCompression().GetEncodings()),
		OpenWindow:              duration(c.GetOpenWindow(), DefaultOpenWindow),
		Heartbeat:               duration(c.GetHeartbeat(), DefaultHeartbeat),
		MaxConnectionAge:        duration(c.GetMaxConnectionAge(), DefaultMaxConnectionAge),
		WriteTimeout:            duration(c.GetWriteTimeout(), DefaultWriteTimeout),
		DrainWindow:             duration(c.GetDrainWindow(), DefaultDrainWindow),
		UnaryTimeout:            duration(c.GetUnaryTimeout(), DefaultUnaryTimeout),
		Sockets:                 sockets(openFiles()),
		Connections:             r.connections(),
		ConnectionsPerIP:        int(limits.GetConnectionsPerIp()),
		ConnectionsPerPrincipal: r.connectionsPerPrincipal(),
		ReadersPerStream:        int(limits.GetReadersPerStream()),
		Calls:                   int(limits.GetCalls()),
		LogBytes:                r.logBytes(),
		RequestBytes:            int64(cmp.Or(limits.GetRequestBytes(), DefaultRequestBytes)),
		HeaderBytes:             int(cmp.Or(limits.GetHeaderBytes(), DefaultHeaderBytes)),
		Log:                     r.log(),
	}
	if s.Listen == s.Admin && !strings.HasSuffix(s.Listen, ":0") {
		r.add("admin", "%s is the address of listen too; give them different ports", s.Admin)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// check collects what is wrong while the settings are made.
type check struct {
	*Loaded
	faults
}

func (r *check) add(field, format string, args ...any) {
	r.faults.add(r.fault(field, format, args...))
}

// validate runs the rules that the schema itself holds.
func (r *check) validate() {
	v, err := validator()
	if err != nil {
		r.add("", "%v", err)
		return
	}
	err = v.Validate(r.Config)
	invalid, ok := errors.AsType[*protovalidate.ValidationError](err)
	switch {
	case err == nil:
	case !ok:
		r.add("", "%v", err)
	default:
		for _, violation := range invalid.Violations {
			message := strings.ReplaceAll(violation.Proto.GetMessage(), "[, ", "[")
			r.add(protovalidate.FieldPathString(violation.Proto.GetField()), "%s", message)
		}
	}
}

func (r *check) admin() string {
	if r.Config.GetAdmin() == AdminOff {
		return ""
	}
	return r.address("admin", r.Config.GetAdmin(), DefaultAdmin)
}

// address checks a HOST:PORT to listen on. An empty host is every address of the machine.
func (r *check) address(field, value, fallback string) string {
	if value == "" {
		return fallback
	}
	host, port, err := net.SplitHostPort(value)
	switch {
	case err != nil && strings.Count(value, ":") > 1:
		r.add(field, "%q is not HOST:PORT; an IPv6 address stands in brackets: [::1]:8080", value)
	case err != nil:
		r.add(field, "%q is not HOST:PORT; write, for example, %s", value, fallback)
	case !isPort(port, 0):
		r.add(field, "%q is not a port; give a number from 0 (any free port) to 65535", port)
	case strings.ContainsAny(host, "/ \t"):
		r.add(field, "%q is not HOST:PORT: no http:// before it, no path after it; write, for example, %s", value, fallback)
	}
	return value
}

func isPort(s string, lowest int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= lowest && n <= 65535
}

// sockets leaves a twentieth of the files, and at least 32, for what is not a client's connection.
func sockets(files int) int { return max(files-max(files/20, 32), 1) }

func (r *check) connections() int {
	files := openFiles()
	n := int(r.Config.GetLimits().GetConnections())
	switch {
	case n == 0:
		return max(files/10*9, 1)
	case n > files:
		r.add("limits.connections", "%d is more than the %d files that this process may open; lower it, or raise the limit "+
			"(ulimit -n, LimitNOFILE= of systemd)", n, files)
	}
	return n
}

func (r *check) logBytes() int64 {
	n := r.Config.GetLimits().GetLogBytes()
	switch limit := debug.SetMemoryLimit(-1); {
	case n > math.MaxInt64:
		r.add("limits.log_bytes", "%d bytes is more than any machine has; the default is a quarter of GOMEMLIMIT or 256Mi", n)
		return 0
	case n != 0:
		return int64(n)
	case limit != math.MaxInt64:
		return max(limit/4, 1<<20)
	}
	return DefaultLogBytes
}

func (r *check) connectionsPerPrincipal() int {
	n := r.Config.GetLimits().GetConnectionsPerPrincipal()
	if n != 0 && r.Config.GetPrincipal() == nil {
		r.add("limits.connections_per_principal", "has no effect without principal, where every request is anonymous; say in "+
			"principal who a request comes from")
	}
	return int(n)
}

func (r *check) log() Log {
	c := r.Config.GetLog()
	log := Log{Format: c.GetFormat(), Level: DefaultLogLevel}
	if log.Format == "" {
		log.Format = DefaultLogFormat
	}
	// Another level than these was reported by validate.
	switch c.GetLevel() {
	case "debug":
		log.Level = slog.LevelDebug
	case "warn":
		log.Level = slog.LevelWarn
	case "error":
		log.Level = slog.LevelError
	}
	return log
}

// duration is d where it is set, zero included. What is out of bounds was reported by validate.
func duration(d *durationpb.Duration, fallback time.Duration) time.Duration {
	if d == nil {
		return fallback
	}
	return d.AsDuration()
}

// expose checks the patterns' form; whether methods are called so is known when the schemas are.
func (r *check) expose() []string {
	patterns := r.Config.GetExpose()
	for i, pattern := range patterns {
		if pattern != "" && pattern != "*" && !isPattern(pattern) {
			r.add(element("expose", i), "%q names no method; write pkg.Service/Method, pkg.Service/* or *", pattern)
		}
	}
	return slices.Clone(patterns)
}

func isPattern(s string) bool {
	service, method, cut := strings.Cut(s, "/")
	if !cut {
		return strings.Contains(s, ".") && isFullName(s)
	}
	return isFullName(service) && (method == "*" || isIdentifier(method))
}

func isFullName(s string) bool {
	return !slices.ContainsFunc(strings.Split(s, "."), func(part string) bool { return !isIdentifier(part) })
}

func isIdentifier(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
