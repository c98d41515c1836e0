package cli_test

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/cli"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

func workingDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func settings(t *testing.T, args ...string) *config.Settings {
	t.Helper()
	s, err := cli.Settings(args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var sameSettings = cmp.Options{
	cmpopts.IgnoreFields(config.Settings{}, "Sockets"), // it depends on the machine
	cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}),
}

// fileConfig sets every field that has a flag to something that is not its default.
const fileConfig = `
listen: 127.0.0.1:1
admin: 127.0.0.1:2
upstreams: [{name: file, target: "file:1", descriptor_set: nothing}]
expose: [file.A/*]
cors: {origins: ["https://file.example"], credentials: true}
limits: {connections: 11, connections_per_ip: 12, connections_per_principal: 13, log_bytes: 11Mi, request_bytes: 11}
forward_metadata: {headers: [x-file]}
tls: {cert_file: nothing, key_file: nothing}
compression: {encodings: [br]}
trusted_proxies: [11.0.0.0/8]
unary_timeout: 6s
principal: {header: x-file}
open_window: 1s
heartbeat: 2s
max_connection_age: 3m
write_timeout: 4s
drain_window: 5s
log: {format: json, level: error}
`

// Every flag that is given wins over the file.
func TestFlagsWinOverTheFile(t *testing.T) {
	set := write(t, "set", string(descriptorSet(t)))
	cert, key := certificate(t)
	args := []string{
		"--config", write(t, "grpc-sse.yaml", fileConfig),
		"--listen", "127.0.0.1:0", "--admin", "off",
		"--upstream", "a=a:1", "--upstream", "b=b:1", "--descriptor-set", "a=" + set, "--descriptor-set", "b=" + set,
		"--expose", "a.B/C", "--expose", "*",
		"--cors-origin", "http://a", "--cors-origin", "http://b", "--cors-credentials=false",
		"--tls-cert", cert, "--tls-key", key, "--compression", "zstd", "--compression", "gzip", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1",
		"--connections", "7", "--connections-per-ip", "8", "--connections-per-principal", "9", "--log-bytes", "7Mi", "--request-bytes", "7k",
		"--forward-metadata", "x-a", "--principal-cookie", "session",
		"--open-window", "0", "--heartbeat", "9s", "--max-connection-age", "90s", "--write-timeout", "10s", "--drain-window", "0s",
		"--unary-timeout", "7s", "--log-format", "text", "--log-level", "debug",
	}
	want := &config.Settings{
		Listen: "127.0.0.1:0",
		TLS:    &config.TLS{CertFile: cert, KeyFile: key},
		Upstreams: []config.Upstream{
			{Name: "a", Target: "a:1", DescriptorSet: descriptorSet(t), DescriptorSetFile: set, MaxConnections: 64},
			{Name: "b", Target: "b:1", DescriptorSet: descriptorSet(t), DescriptorSetFile: set, MaxConnections: 64},
		},
		Expose:           []string{"a.B/C", "*"},
		Origins:          []string{"http://a", "http://b"},
		ForwardMetadata:  []string{"x-a"},
		Principal:        config.Principal{Cookie: "session"},
		TrustedProxies:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Compression:      []string{"zstd", "gzip"},
		Heartbeat:        9 * time.Second,
		MaxConnectionAge: 90 * time.Second,
		WriteTimeout:     10 * time.Second,
		UnaryTimeout:     7 * time.Second,
		Connections:      7,
		ConnectionsPerIP: 8, ConnectionsPerPrincipal: 9,
		LogBytes:     7 << 20,
		RequestBytes: 7000,
		HeaderBytes:  config.DefaultHeaderBytes,
		Log:          config.Log{Format: "text", Level: slog.LevelDebug},
	}
	if diff := cmp.Diff(want, settings(t, args...), sameSettings); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
	for flag := range cli.ConfigFlags() {
		if flag != "principal-header" && !slices.ContainsFunc(args, func(arg string) bool { return arg == "--"+flag || strings.HasPrefix(arg, "--"+flag+"=") }) {
			t.Errorf("--%s is not tested", flag)
		}
	}
	if got := settings(t, "--upstream", "a:1", "--principal-header", "x-user").Principal; got != (config.Principal{Header: "X-User"}) {
		t.Errorf("--principal-header: %+v", got)
	}
	if got := settings(t, "--upstream", "a:1", "--forward-metadata", "").ForwardMetadata; len(got) != 0 {
		t.Errorf("--forward-metadata '': %v", got)
	}
}

// What is not given leaves the file's value, not the flag's default.
func TestFlagsNotGivenLeaveTheFile(t *testing.T) {
	cert, key := certificate(t)
	text := strings.NewReplacer(", descriptor_set: nothing", "", "cert_file: nothing", "cert_file: "+cert, "key_file: nothing", "key_file: "+key).Replace(fileConfig)
	got := settings(t, "--config", write(t, "grpc-sse.yaml", text))
	want := &config.Settings{
		Listen: "127.0.0.1:1", Admin: "127.0.0.1:2",
		Upstreams:       []config.Upstream{{Name: "file", Target: "file:1", MaxConnections: 64}},
		Expose:          []string{"file.A/*"},
		Origins:         []string{"https://file.example"},
		Credentials:     true,
		ForwardMetadata: []string{"x-file"},
		Principal:       config.Principal{Header: "X-File"},
		TLS:             &config.TLS{CertFile: cert, KeyFile: key},
		Compression:     []string{"br"},
		TrustedProxies:  []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8")},
		UnaryTimeout:    6 * time.Second,
		OpenWindow:      time.Second, Heartbeat: 2 * time.Second, MaxConnectionAge: 3 * time.Minute, WriteTimeout: 4 * time.Second, DrainWindow: 5 * time.Second,
		Connections: 11, ConnectionsPerIP: 12, ConnectionsPerPrincipal: 13, LogBytes: 11 << 20, RequestBytes: 11, HeaderBytes: config.DefaultHeaderBytes,
		Log: config.Log{Format: "json", Level: slog.LevelError},
	}
	if diff := cmp.Diff(want, got, sameSettings); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
}

// A flag's help says a default; it must be the one that holds without the flag.
func TestFlagDefaultsAreTheDefaults(t *testing.T) {
	want := settings(t, "--upstream", "a:1")
	got := settings(t, "--upstream", "a:1", "--listen", config.DefaultListen, "--admin", config.DefaultAdmin, "--open-window", "250ms",
		"--heartbeat", "8s", "--max-connection-age", "1h", "--write-timeout", "20s", "--drain-window", "20s", "--request-bytes", "64Ki",
		"--log-format", "text", "--log-level", "info", "--log-bytes", "256Mi", "--connections", "0", "--connections-per-ip", "0",
		"--connections-per-principal", "0", "--unary-timeout", "30s")
	if diff := cmp.Diff(want, got, sameSettings); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
}

// Each flag stands for a field of the config file, and the example says so.
func TestFlagsHaveFields(t *testing.T) {
	example, err := os.ReadFile("../../examples/grpc-sse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fields := cli.ConfigFlags()
	for _, flag := range slices.Sorted(maps.Keys(fields)) {
		message := (*configv1.Config)(nil).ProtoReflect().Descriptor()
		for name := range strings.SplitSeq(fields[flag], ".") {
			field := message.Fields().ByName(protoreflect.Name(name))
			if field == nil {
				t.Fatalf("--%s: the config has no field %s", flag, fields[flag])
			}
			message = field.Message()
		}
		if !strings.Contains(string(example), "--"+flag) {
			t.Errorf("the example config does not mention --%s", flag)
		}
	}
}

// A relative path on the command line begins at the working directory, wherever the config file is.
func TestDescriptorSetOnTheCommandLine(t *testing.T) {
	file := write(t, "grpc-sse.yaml", "upstreams: [{name: a, target: 'a:1', descriptor_set: there}]")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", descriptorSet(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"here", "a=here", "./here"} {
		if got := settings(t, "--config", file, "--descriptor-set", value).Upstreams[0].DescriptorSet; len(got) == 0 {
			t.Errorf("%s: nothing was read", value)
		}
	}
}

// A broken config is a failure, not a wrong command line, also where flags are wrong besides.
func TestBadConfigFile(t *testing.T) {
	for content, want := range map[string]string{
		"lissten: 1":                        ":1:1: lissten: unknown key; did you mean",
		"upstreams: [{target: a}]\n":        `:1:22: upstreams[0].target: "a" has no port`,
		"upstreams: [{target: 'a:1'}]\nx: ": ":2:1: x: unknown key",
	} {
		path := write(t, "grpc-sse.yaml", content)
		got := run(t.Context(), "serve", "--config", path, "--listen", "nonsense")
		if got.code != 1 || !strings.Contains(got.stderr, path+want) {
			t.Errorf("%q: %+v", content, got)
		}
	}
	got := run(t.Context(), "serve", "--config", "no/such/file")
	if want := "grpc-sse: read the config file: " + workingDir(t) + "/no/such/file: no such file or directory\n"; got.code != 1 || got.stderr != want {
		t.Errorf("%+v", got)
	}
}

// descriptorSet is a set of files without services.
func descriptorSet(t *testing.T) []byte {
	t.Helper()
	return marshalSet(t, protodesc.ToFileDescriptorProto(emptypb.File_google_protobuf_empty_proto))
}

// healthSet describes the health service.
func healthSet(t *testing.T) []byte {
	t.Helper()
	return marshalSet(t, protodesc.ToFileDescriptorProto(healthv1.File_grpc_health_v1_health_proto))
}

// brokenSet lacks an import.
func brokenSet(t *testing.T) []byte {
	t.Helper()
	return marshalSet(t, &descriptorpb.FileDescriptorProto{Name: new("a.proto"), Dependency: []string{"b.proto"}})
}

func marshalSet(t *testing.T, files ...*descriptorpb.FileDescriptorProto) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		t.Fatal(err)
	}
	return data
}
