package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

var sameSettings = cmp.Options{cmpopts.IgnoreUnexported(tls.Config{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}), protocmp.Transform()}

func mustResolve(t *testing.T, text string) *config.Settings {
	t.Helper()
	l, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func descriptorSet(t *testing.T) []byte {
	t.Helper()
	data, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{Name: new("a.proto")}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// certificate makes a certificate that signs itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("EC PRIVATE KEY", keyDER)
}

func TestDefaults(t *testing.T) {
	got := mustResolve(t, "upstreams: [{target: 'localhost:9090'}]")
	if got.Connections < 1 || got.Sockets <= got.Connections {
		t.Errorf("connections = %d, sockets = %d; want some sockets more, for answers to those who come too late", got.Connections, got.Sockets)
	}
	want := &config.Settings{
		Listen:           "127.0.0.1:8080",
		Admin:            "127.0.0.1:8081",
		Upstreams:        []config.Upstream{{Name: "localhost:9090", Target: "localhost:9090", MaxConnections: 64}},
		ForwardMetadata:  []string{"authorization", "accept-language", "traceparent", "tracestate", "x-request-id"},
		OpenWindow:       250 * time.Millisecond,
		Heartbeat:        8 * time.Second,
		MaxConnectionAge: time.Hour,
		WriteTimeout:     20 * time.Second,
		DrainWindow:      20 * time.Second,
		UnaryTimeout:     30 * time.Second,
		Sockets:          got.Sockets,
		Connections:      got.Connections,
		LogBytes:         256 << 20,
		RequestBytes:     64 << 10,
		HeaderBytes:      32 << 10,
		Log:              config.Log{Format: "text", Level: slog.LevelInfo},
	}
	if diff := cmp.Diff(want, got, sameSettings); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
}

func TestLogBytesFollowGOMEMLIMIT(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	if got := mustResolve(t, "upstreams: [{target: 'a:1'}]").LogBytes; got != 256<<20 {
		t.Errorf("a quarter of 1 GiB is %d", got)
	}
	debug.SetMemoryLimit(1 << 21)
	if got := mustResolve(t, "upstreams: [{target: 'a:1'}]").LogBytes; got != 1<<20 {
		t.Errorf("the least is 1 MiB, got %d", got)
	}
}

func TestValues(t *testing.T) {
	got := mustResolve(t, `
listen: "[::1]:0"
admin: "off"
upstreams:
  - {name: a, target: dns:///prices:9090, max_connections: 3, tls: {}}
  - {name: b, target: unix:///run/prices.sock, tls: {server_name: prices.internal}}
  - {target: "[::1]:9090"}
  - {target: "dns:9090"}
expose: ["*", a.B/C, a.B/*, a.B.C]
cors: {origins: ["https://app.example.com", "http://localhost:3000"], credentials: true}
rules: [{selector: a.B/C, stream: {linger: 0}}, {selector: a.B.D}]
limits: {connections: 7, log_bytes: 2Mi, request_bytes: 1k, connections_per_ip: 1, connections_per_principal: 2,
  readers_per_stream: 3, calls: 4, header_bytes: 4Ki}
forward_metadata: {headers: []}
response_metadata: [x-total, x-row.version]
trusted_proxies: [10.0.0.0/8, "::1", "::ffff:192.0.2.1", "fd00::/8"]
compression: {encodings: [zstd, gzip]}
unary_timeout: 10ms
principal: {header: x-user-id}
open_window: 0
heartbeat: 1s
drain_window: 0s
log: {format: json, level: debug}
`)
	if got.Listen != "[::1]:0" || got.Admin != "" || got.OpenWindow != 0 || got.DrainWindow != 0 || got.Heartbeat != time.Second {
		t.Errorf("addresses or times: %+v", got)
	}
	limits := []int{got.ConnectionsPerIP, got.ConnectionsPerPrincipal, got.ReadersPerStream, got.Calls, got.HeaderBytes}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 4096}, limits); diff != "" {
		t.Error("limits (-want +got):\n", diff)
	}
	if got.Connections != 7 || got.LogBytes != 2<<20 || got.RequestBytes != 1000 {
		t.Errorf("limits: %+v", got)
	}
	if got.ForwardMetadata == nil && len(got.ForwardMetadata) != 0 || got.Principal != (config.Principal{Header: "X-User-Id"}) {
		t.Errorf("access: %+v", got)
	}
	if got := fmt.Sprint(got.TrustedProxies); got != "[10.0.0.0/8 ::1/128 192.0.2.1/32 fd00::/8]" {
		t.Errorf("trusted proxies: %s", got)
	}
	if got := fmt.Sprint(got.ResponseMetadata, got.Compression, got.UnaryTimeout); got != "[x-total x-row.version] [zstd gzip] 10ms" {
		t.Errorf("responses: %s", got)
	}
	if got.Log != (config.Log{Format: "json", Level: slog.LevelDebug}) || !got.Credentials || len(got.Origins) != 2 {
		t.Errorf("log or origins: %+v", got)
	}
	a, b := got.Upstreams[0], got.Upstreams[1]
	if a.MaxConnections != 3 || a.TLS == nil || a.TLS.RootCAs != nil || b.TLS.ServerName != "prices.internal" {
		t.Errorf("upstreams: %+v", got.Upstreams)
	}
	if linger := got.Rules[0].GetStream().GetLinger(); linger == nil || linger.AsDuration() != 0 {
		t.Errorf("linger: 0 is %v, want a zero that is set", linger)
	}
}

func TestJSONAndJSONNames(t *testing.T) {
	got := mustResolve(t, `{"upstreams": [{"target": "a:1", "maxConnections": 2}], "limits": {"logBytes": "2097152"}}`)
	if got.Upstreams[0].MaxConnections != 2 || got.LogBytes != 2<<20 {
		t.Errorf("%+v", got)
	}
}

func TestNoUpstream(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "{}", "upstreams: []", "listen: ':1'"} {
		l, err := config.Parse("test.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Resolve(); !errors.Is(err, config.ErrNoUpstream) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What a flag wrote is reported by the flag's name, the rest of the config still by its place.
func TestFlagsAreNamed(t *testing.T) {
	l, err := config.Parse("test.yaml", []byte("listen: nonsense\nupstreams:\n- {target: a}\nheartbeat: 0s\n"))
	if err != nil {
		t.Fatal(err)
	}
	l.Config.Listen = "other"
	l.Set("listen", "--listen")
	l.Config.Upstreams[0].DescriptorSet = "no/such/file"
	l.Set("upstreams[0].descriptor_set", "--descriptor-set")
	_, err = l.Resolve()
	cwd, _ := os.Getwd()
	wantErrors(t, err, []string{
		`--listen: "other" is not HOST:PORT; write, for example, 127.0.0.1:8080`,
		"--descriptor-set: cannot read " + cwd + "/no/such/file: no such file or directory",
		`test.yaml:3:12: upstreams[0].target: "a" has no port; write, for example, a:9090`,
		"test.yaml:4:12: heartbeat: must be greater than or equal to 1s and less than or equal to 60s",
	})
}

func TestSet(t *testing.T) {
	l, err := config.Parse("test.yaml", []byte("upstreams:\n- {name: a, target: 'a:1'}\n- {target: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l.Set("upstreams", "--upstream")
	_, err = l.Resolve()
	wantErrors(t, err, []string{`--upstream: "b" has no port; write, for example, b:9090`})
}

// wantErrors compares the lines of an error.
func wantErrors(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "12": 12, "64Ki": 64 << 10, "1k": 1000, "256Mi": 256 << 20, "3G": 3e9, "1Ti": 1 << 40} {
		if got, err := config.ParseSize(text, 1<<62); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Ki", "1K", "1 Ki", "-1", "1.5Mi", "1KiMi", "0x10", "99999999999999Ti", "1e3"} {
		if got, err := config.ParseSize(text, 1<<62); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	if _, err := config.ParseSize("2k", 1999); err == nil {
		t.Error("over the largest")
	}
}
