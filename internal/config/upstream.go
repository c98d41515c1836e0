package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	_ "google.golang.org/grpc" // registers the resolvers that a target is checked against
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// Bounds of the files that a config names, in bytes.
const (
	maxDescriptorBytes = 64 << 20
	maxPEMBytes        = 4 << 20
	maxSecretBytes     = 64 << 10
)

func (r *check) upstreams() []Upstream {
	named := map[string]int{}
	upstreams := make([]Upstream, 0, len(r.Config.GetUpstreams()))
	for i, u := range r.Config.GetUpstreams() {
		field := element("upstreams", i)
		r.target(field+".target", u.GetTarget())
		up := Upstream{
			Name:           u.GetName(),
			Target:         u.GetTarget(),
			MaxConnections: int(u.GetMaxConnections()),
			TLS:            r.upstreamTLS(field+".tls", u.GetTls()),
			Metadata:       r.metadata(field+".metadata", u.GetMetadata()),
		}
		up.DescriptorSetFile, up.DescriptorSet = r.descriptorSet(field+".descriptor_set", u.GetDescriptorSet())
		if up.Name == "" {
			up.Name = up.Target
		}
		if up.MaxConnections == 0 {
			up.MaxConnections = DefaultMaxConnections
		}
		if strings.ContainsFunc(up.Name, func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' }) {
			r.add(field+".name", "%q holds white space or control characters; use letters, digits and dashes", up.Name)
		}
		if first, again := named[up.Name]; again {
			r.add(field+".name", "%q is the name of another upstream already (%s); names must be unique, and an upstream "+
				"without one is called by its target", up.Name, r.describe("upstreams", first))
		} else {
			named[up.Name] = i
		}
		upstreams = append(upstreams, up)
	}
	return upstreams
}

// target checks that a target has a port or a scheme that gRPC resolves: what gRPC itself would make of a bad one is an
// error at every call.
func (r *check) target(field, target string) {
	scheme, rest, hasScheme := strings.Cut(target, ":")
	lower := strings.ToLower(scheme)
	switch {
	case target == "": // reported by validate
	case strings.HasPrefix(target, "http://"), strings.HasPrefix(target, "https://"):
		_, hostport, _ := strings.Cut(target, "://")
		r.add(field, "%q is a URL; write the HOST:PORT of the gRPC server: %s (TLS is switched on by the upstream's tls "+
			"section)", target, strings.TrimRight(hostport, "/"))
	case hasScheme && lower == "dns" && !isPort(rest, 1):
		r.hostPort(field, rest[strings.LastIndex(rest, "/")+1:])
	case hasScheme && resolver.Get(lower) != nil && !isPort(rest, 1):
	case strings.Contains(target, "://"):
		r.add(field, "%q: gRPC knows no scheme %s; write HOST:PORT, dns:///HOST:PORT or unix:///PATH", target, scheme)
	default:
		r.hostPort(field, target)
	}
}

func (r *check) hostPort(field, target string) {
	_, port, err := net.SplitHostPort(target)
	switch {
	case err != nil && strings.Count(target, ":") > 1:
		r.add(field, "%q is not HOST:PORT; an IPv6 address stands in brackets: [::1]:9090", target)
	case err != nil:
		r.add(field, "%q has no port; write, for example, %s:9090", target, strings.TrimRight(target, ":"))
	case !isPort(port, 1):
		r.add(field, "%q: %q is not a port; give a number from 1 to 65535", target, port)
	case strings.ContainsAny(target, "/ \t="):
		r.add(field, "%q is not HOST:PORT", target)
	}
}

// path is where a file that the field names is: a file names others relative to its own folder, a flag relative to the
// working directory.
func (r *check) path(field, name string) string {
	if r.dir == "" || filepath.IsAbs(name) || r.fromFlag(field) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// read reads a file that the field names; nil after it reported why it cannot.
func (r *check) read(field, name string, maxBytes int64) []byte {
	path := r.path(field, name)
	data, err := readFile(path, maxBytes)
	if err == nil {
		return data
	}
	hint := ""
	if errors.Is(err, os.ErrNotExist) && path != name {
		hint = " (a relative path begins at the folder of the config file)"
	}
	r.add(field, "cannot read %v%s", err, hint)
	return nil
}

func (r *check) descriptorSet(field, name string) (string, []byte) {
	if name == "" {
		return "", nil
	}
	path := r.path(field, name)
	data := r.read(field, name, maxDescriptorBytes)
	if data == nil {
		return path, nil
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil || len(set.GetFile()) == 0 {
		r.add(field, "%s is not a serialized FileDescriptorSet; make one with `buf build -o FILE` or `protoc "+
			"--include_imports -o FILE`", path)
	}
	return path, data
}

// metadata resolves the bridge's own metadata. Messages never hold a value.
func (r *check) metadata(field string, secrets map[string]*configv1.Secret) metadata.MD {
	if len(secrets) == 0 {
		return nil
	}
	md := metadata.MD{}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		path := fmt.Sprintf("%s[%q]", field, name)
		if problem := metadataProblem(name); problem != "" {
			r.add(path, "%q cannot be sent: %s", name, problem)
			continue
		}
		value, ok := r.secret(path, secrets[name])
		switch {
		case !ok:
		case value == "":
			r.add(path, "is empty; give it a value or leave it out")
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
			r.add(path, "holds a line break or another character that is not printable ASCII")
		default:
			md.Set(name, value)
		}
	}
	return md
}

func (r *check) secret(field string, s *configv1.Secret) (value string, ok bool) {
	switch source := s.GetSource().(type) {
	case *configv1.Secret_Value:
		return source.Value, true
	case *configv1.Secret_Env:
		value, ok := os.LookupEnv(source.Env)
		if !ok {
			r.add(field+".env", "the environment variable %q is not set", source.Env)
		}
		return value, ok
	case *configv1.Secret_File:
		data := r.read(field+".file", source.File, maxSecretBytes)
		return strings.TrimRightFunc(string(data), unicode.IsSpace), data != nil
	}
	return "", false // reported by validate
}
