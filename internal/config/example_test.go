package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

const exampleFile = "../../examples/grpc-sse.yaml"

// off matches what the example has switched off: a # without a space after it.
var off = regexp.MustCompile(`(?m)^( *)#([^ #\n])`)

func readExample(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The example says that it shows the defaults, so it must mean the same as a config with nothing but an upstream.
func TestExampleIsTheDefaults(t *testing.T) {
	example, err := config.Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := example.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := mustResolve(t, "upstreams: [{name: prices, target: 'localhost:9090'}]\ncors: {origins: ['https://app.example.com']}\n")
	if diff := cmp.Diff(want, got, sameSettings); diff != "" {
		t.Error("the example is not the defaults (-want +got):\n", diff)
	}
}

func TestExampleShowsEveryField(t *testing.T) {
	text := strings.NewReplacer("expose: []", "expose:", "rules: []", "rules:").Replace(off.ReplaceAllString(readExample(t), "$1$2"))
	dir := t.TempDir()
	write(t, dir, "grpc-sse.yaml", text)
	write(t, dir, "prices.binpb", string(descriptorSet(t)))
	cert, key := certificate(t)
	write(t, dir, "tls/ca.pem", cert)
	write(t, dir, "tls/bridge.pem", cert)
	write(t, dir, "tls/bridge-key.pem", key)
	write(t, dir, "tls/client.pem", cert)
	write(t, dir, "tls/client-key.pem", key)
	write(t, dir, "tls/token", "Bearer secret\n")
	t.Setenv("PRICES_API_KEY", "key")

	loaded, err := config.Load(filepath.Join(dir, "grpc-sse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := loaded.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	wantMD := map[string][]string{"authorization": {"Bearer secret"}, "x-api-key": {"key"}, "x-caller": {"grpc-sse"}}
	if diff := cmp.Diff(wantMD, map[string][]string(s.Upstreams[0].Metadata)); diff != "" {
		t.Error("metadata (-want +got):\n", diff)
	}

	shown := map[protoreflect.FullName]bool{}
	collect(loaded.Config.ProtoReflect(), shown)
	if !strings.Contains(text, "`cookie: NAME`") {
		t.Error("the example does not mention principal.cookie")
	}
	shown["grpcsse.config.v1.Principal.cookie"] = true // only one case of a oneof can be set
	all := map[protoreflect.FullName]bool{}
	collectDeclared((*configv1.Config)(nil).ProtoReflect().Descriptor(), all)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if !shown[field] {
			t.Errorf("the example does not show %s", field)
		}
	}
}

// collect notes the fields that are set in m. Zero values that have no presence count where they are written: the example
// has only one, cors.credentials.
func collect(m protoreflect.Message, into map[protoreflect.FullName]bool) {
	into["grpcsse.config.v1.Cors.credentials"] = true
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into[field.FullName()] = true
		switch {
		case field.IsMap() && field.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				collect(v.Message(), into)
				return true
			})
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				collect(v.List().Get(i).Message(), into)
			}
		case field.Message() != nil && !field.IsMap():
			collect(v.Message(), into)
		}
		return true
	})
}

// collectDeclared notes the fields that our own messages declare.
func collectDeclared(m protoreflect.MessageDescriptor, into map[protoreflect.FullName]bool) {
	if m == nil || !strings.HasPrefix(string(m.FullName()), "grpcsse.") {
		return
	}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		if field.ContainingMessage().IsMapEntry() {
			collectDeclared(field.Message(), into)
			continue
		}
		into[field.FullName()] = true
		if field.IsMap() {
			collectDeclared(field.MapValue().Message(), into)
			continue
		}
		collectDeclared(field.Message(), into)
	}
}
