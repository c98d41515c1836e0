package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

// configFlags are the flags that stand for fields of the config file, and --config. A flag that is given wins over the
// file; one that may be repeated replaces the file's list.
type configFlags struct {
	verb  string // such as "grpc-sse serve"
	set   *pflag.FlagSet
	path  string
	flags []configFlag
}

// configFlag is one of them.
type configFlag struct {
	name  string
	field string // its path in the config
	put   func(*config.Loaded) error
}

// addConfigFlags gives cmd the flags.
func addConfigFlags(cmd *cobra.Command) *configFlags {
	f := &configFlags{verb: "grpc-sse " + cmd.Name(), set: cmd.Flags()}
	f.set.SortFlags = false
	f.set.StringVarP(&f.path, "config", "c", "", "read this config `FILE` (YAML or JSON); flags win over it")
	f.addServing()
	f.addAccess()
	f.addTimes()
	f.addLimits()
	f.complete(cmd)
	return f
}

func (f *configFlags) addServing() {
	f.words("upstream", "upstreams", "serve this gRPC server, `[NAME=]HOST:PORT` or any gRPC target (may be repeated)", putUpstreams)
	f.words("descriptor-set", "upstreams.descriptor_set",
		"read the schema from this `[NAME=]FILE` instead of by server reflection; NAME is the\nupstream's (may be repeated)", putDescriptorSets)
	f.words("expose", "expose", "serve methods that no HTTP rule or option exposes: `PATTERN` is pkg.Service/Method,\n"+
		"pkg.Service/* or * (may be repeated)", func(l *config.Loaded, v []string) error {
		l.Config.Expose = v
		return nil
	})
	f.text("listen", "listen", config.DefaultListen, "address for clients, `HOST:PORT`; port 0 is any free one",
		func(c *configv1.Config, v string) { c.Listen = v })
	f.text("tls-cert", "tls.cert_file", "", "speak TLS to clients, with the certificate in this PEM `FILE`;\nit is read again when it changes",
		func(c *configv1.Config, v string) { serverTLS(c).CertFile = v })
	f.text("tls-key", "tls.key_file", "", "its key, a PEM `FILE`", func(c *configv1.Config, v string) { serverTLS(c).KeyFile = v })
	f.words("compression", "compression.encodings", "offer streams in this `ENCODING`: gzip, zstd or br (may be repeated, best first)",
		func(l *config.Loaded, v []string) error {
			l.Config.Compression = &configv1.Compression{Encodings: v}
			return nil
		})
	f.text("admin", "admin", config.DefaultAdmin, "address of /healthz and /readyz, `HOST:PORT`, or off",
		func(c *configv1.Config, v string) { c.Admin = v })
}

func (f *configFlags) addAccess() {
	f.words("cors-origin", "cors.origins", "let pages of this `ORIGIN` use the bridge, such as\nhttps://app.example.com (may be repeated)",
		func(l *config.Loaded, v []string) error {
			cors(l.Config).Origins = v
			return nil
		})
	credentials := f.set.Bool("cors-credentials", false, "let those pages send cookies and HTTP authentication")
	f.add("cors-credentials", "cors.credentials", func(l *config.Loaded) error {
		cors(l.Config).Credentials = *credentials
		return nil
	})
	f.words("forward-metadata", "forward_metadata.headers", "forward this request `HEADER` to the backend (may be repeated; replaces the default:\n"+
		"authorization, accept-language, traceparent, tracestate, x-request-id; '' forwards none)",
		func(l *config.Loaded, v []string) error {
			if len(v) == 1 && v[0] == "" {
				v = nil
			}
			l.Config.ForwardMetadata = &configv1.ForwardMetadata{Headers: v, Unkeyed: l.Config.GetForwardMetadata().GetUnkeyed()}
			return nil
		})
	f.text("principal-header", "principal.header", "", "tell clients apart by this request `HEADER`, set by a proxy in front",
		func(c *configv1.Config, v string) {
			c.Principal = &configv1.Principal{Source: &configv1.Principal_Header{Header: v}}
		})
	f.text("principal-cookie", "principal.cookie", "", "tell clients apart by the cookie with this `NAME`, checked by a proxy in front",
		func(c *configv1.Config, v string) {
			c.Principal = &configv1.Principal{Source: &configv1.Principal_Cookie{Cookie: v}}
		})
	f.words("trusted-proxy", "trusted_proxies", "believe X-Forwarded-For of proxies at this `ADDRESS`, such as\n10.0.0.7 or 10.0.0.0/8 (may be repeated)",
		func(l *config.Loaded, v []string) error {
			l.Config.TrustedProxies = v
			return nil
		})
}

func (f *configFlags) addTimes() {
	f.duration("open-window", "open_window", config.DefaultOpenWindow, "wait this long for the backend before a response begins",
		func(c *configv1.Config, v *durationpb.Duration) { c.OpenWindow = v })
	f.duration("heartbeat", "heartbeat", config.DefaultHeartbeat, "pause between heartbeats on a quiet connection",
		func(c *configv1.Config, v *durationpb.Duration) { c.Heartbeat = v })
	f.duration("max-connection-age", "max_connection_age", config.DefaultMaxConnectionAge, "let connections reconnect after this long",
		func(c *configv1.Config, v *durationpb.Duration) { c.MaxConnectionAge = v })
	f.duration("write-timeout", "write_timeout", config.DefaultWriteTimeout, "reset a connection that takes no bytes for this long",
		func(c *configv1.Config, v *durationpb.Duration) { c.WriteTimeout = v })
	f.duration("unary-timeout", "unary_timeout", config.DefaultUnaryTimeout, "end unary calls after this long, or earlier where a client asks for it",
		func(c *configv1.Config, v *durationpb.Duration) { c.UnaryTimeout = v })
	f.duration("drain-window", "drain_window", config.DefaultDrainWindow, "let streams go on for this long after SIGTERM",
		func(c *configv1.Config, v *durationpb.Duration) { c.DrainWindow = v })
}

func (f *configFlags) addLimits() {
	f.number("connections", "limits.connections", "accept this `MANY` connections from clients (default 90 % of the limit of open files)",
		func(c *configv1.Config, v uint32) { limits(c).Connections = v })
	f.number("connections-per-ip", "limits.connections_per_ip", "let one client address have this `MANY` streams (default any number)",
		func(c *configv1.Config, v uint32) { limits(c).ConnectionsPerIp = v })
	f.number("connections-per-principal", "limits.connections_per_principal", "let one principal have this `MANY` streams (default any number)",
		func(c *configv1.Config, v uint32) { limits(c).ConnectionsPerPrincipal = v })
	f.size("log-bytes", "limits.log_bytes", "keep at most this many bytes of events in all, `SIZE` such as 512Mi\n"+
		"(default a quarter of GOMEMLIMIT where that is set, else 256Mi)", 1<<64-1,
		func(c *configv1.Config, v uint64) { limits(c).LogBytes = v })
	f.size("request-bytes", "limits.request_bytes", "refuse larger request bodies than this `SIZE` (default 64Ki)", 1<<32-1,
		func(c *configv1.Config, v uint64) { limits(c).RequestBytes = uint32(v) }) // #nosec G115 -- bounded by the line above
	f.text("log-format", "log.format", config.DefaultLogFormat, "`FORMAT` of the log on standard error: text or json",
		func(c *configv1.Config, v string) { logging(c).Format = v })
	f.text("log-level", "log.level", "info", "lowest `LEVEL` that is logged: debug, info, warn or error",
		func(c *configv1.Config, v string) { logging(c).Level = v })
}

// complete tells shells what the flags take.
func (f *configFlags) complete(cmd *cobra.Command) {
	fixed := map[string][]string{
		"log-format": {"text", "json"}, "log-level": logLevels, "admin": {config.AdminOff}, "compression": {"gzip", "zstd", "br"},
	}
	for _, flag := range f.flags {
		if flag.name == "descriptor-set" || flag.name == "tls-cert" || flag.name == "tls-key" {
			continue // files, which is what shells complete by themselves
		}
		must(cmd.RegisterFlagCompletionFunc(flag.name, cobra.FixedCompletions(fixed[flag.name], cobra.ShellCompDirectiveNoFileComp)))
	}
	must(cmd.MarkFlagFilename("config", "yaml", "yml", "json"))
}

var logLevels = []string{"debug", "info", "warn", "error"}

// must is for errors that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (f *configFlags) add(name, field string, put func(*config.Loaded) error) {
	f.flags = append(f.flags, configFlag{name: name, field: field, put: put})
}

func (f *configFlags) text(name, field, value, usage string, put func(*configv1.Config, string)) {
	v := f.set.String(name, value, usage)
	f.add(name, field, func(l *config.Loaded) error {
		put(l.Config, *v)
		return nil
	})
}

func (f *configFlags) number(name, field, usage string, put func(*configv1.Config, uint32)) {
	v := f.set.Uint32(name, 0, usage)
	f.add(name, field, func(l *config.Loaded) error {
		put(l.Config, *v)
		return nil
	})
}

func (f *configFlags) words(name, field, usage string, put func(*config.Loaded, []string) error) {
	v := f.set.StringArray(name, nil, usage)
	f.add(name, field, func(l *config.Loaded) error { return put(l, *v) })
}

func (f *configFlags) duration(name, field string, value time.Duration, usage string, put func(*configv1.Config, *durationpb.Duration)) {
	v := f.set.Duration(name, value, usage)
	f.add(name, field, func(l *config.Loaded) error {
		put(l.Config, durationpb.New(*v))
		return nil
	})
}

func (f *configFlags) size(name, field, usage string, largest uint64, put func(*configv1.Config, uint64)) {
	v := f.set.String(name, "", usage)
	f.add(name, field, func(l *config.Loaded) error {
		n, err := config.ParseSize(*v, largest)
		if err != nil {
			return err
		}
		put(l.Config, n)
		return nil
	})
}

// load makes the settings of the file and the flags.
func (f *configFlags) load() (*config.Settings, error) {
	l := config.New()
	if f.path != "" {
		var err error
		if l, err = config.Load(f.path); err != nil {
			return nil, err
		}
	}
	for _, flag := range f.flags {
		if !f.set.Changed(flag.name) {
			continue
		}
		l.Set(flag.field, "--"+flag.name)
		if err := flag.put(l); err != nil {
			return nil, usagef("--%s: %w", flag.name, err)
		}
	}
	s, err := l.Resolve()
	switch {
	case errors.Is(err, config.ErrNoUpstream):
		return nil, usagef("%w; name a gRPC server, for example:\n\n  %s --upstream localhost:9090\n", err, f.verb)
	case err != nil && onlyFlags(err):
		return nil, usagef("%w", err)
	}
	return s, err
}

// onlyFlags reports whether all that is wrong was written on the command line.
func onlyFlags(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, part := range joined.Unwrap() {
		if e, ok := errors.AsType[*config.Error](part); !ok || !strings.HasPrefix(e.Where, "--") {
			return false
		}
	}
	return true
}

// named matches NAME=VALUE. A name has none of the letters that tell a target or a path: no colon, no slash.
var named = regexp.MustCompile(`^([^:/\\=]+)=(.*)$`)

func putUpstreams(l *config.Loaded, values []string) error {
	l.Config.Upstreams = nil
	for _, value := range values {
		u := &configv1.Upstream{Target: value}
		if m := named.FindStringSubmatch(value); m != nil {
			u.Name, u.Target = m[1], m[2]
		}
		if u.GetTarget() == "" {
			return fmt.Errorf("%q names no server; write HOST:PORT or NAME=HOST:PORT", value)
		}
		l.Config.Upstreams = append(l.Config.Upstreams, u)
	}
	return nil
}

func putDescriptorSets(l *config.Loaded, values []string) error {
	var names []string
	upstreams := l.Config.GetUpstreams()
	for _, u := range upstreams {
		names = append(names, displayName(u))
	}
	given := map[int]bool{}
	for _, value := range values {
		name, file := "", value
		if m := named.FindStringSubmatch(value); m != nil {
			name, file = m[1], m[2]
		}
		found := -1
		for i := range upstreams {
			if names[i] == name || name == "" && len(upstreams) == 1 {
				found = i
			}
		}
		switch {
		case len(upstreams) == 0:
			return nil // that there is no upstream is told later
		case file == "":
			return fmt.Errorf("%q names no file; write FILE or NAME=FILE", value)
		case name == "" && len(upstreams) > 1:
			return fmt.Errorf("%q: there are several upstreams; write NAME=FILE with one of the names %s", value, strings.Join(names, ", "))
		case found < 0:
			return fmt.Errorf("%q: no upstream is called %s; there is %s (a path with an equals sign in its first part begins with ./)",
				value, name, strings.Join(names, ", "))
		case given[found]:
			return fmt.Errorf("%q: upstream %s has a descriptor set already", value, names[found])
		}
		given[found] = true
		upstreams[found].DescriptorSet = file
		l.Set(fmt.Sprintf("upstreams[%d].descriptor_set", found), "--descriptor-set")
	}
	return nil
}

// displayName is what an upstream is called.
func displayName(u *configv1.Upstream) string {
	if u.GetName() != "" {
		return u.GetName()
	}
	return u.GetTarget()
}

func serverTLS(c *configv1.Config) *configv1.Tls {
	if c.Tls == nil {
		c.Tls = &configv1.Tls{}
	}
	return c.Tls
}

func cors(c *configv1.Config) *configv1.Cors {
	if c.Cors == nil {
		c.Cors = &configv1.Cors{}
	}
	return c.Cors
}

func limits(c *configv1.Config) *configv1.Limits {
	if c.Limits == nil {
		c.Limits = &configv1.Limits{}
	}
	return c.Limits
}

func logging(c *configv1.Config) *configv1.Log {
	if c.Log == nil {
		c.Log = &configv1.Log{}
	}
	return c.Log
}

// newLogger makes the logger that the settings describe.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
