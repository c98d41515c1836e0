package config_test

import (
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

// Files that a config names: relative to its own folder, and each thing that can be wrong with them.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t)
	_, otherKey := certificate(t)
	write(t, dir, "cert.pem", cert)
	write(t, dir, "key.pem", key)
	write(t, dir, "other.pem", otherKey)
	write(t, dir, "text", "hello\n")
	write(t, dir, "set", string(descriptorSet(t)))
	write(t, dir, "huge", strings.Repeat("x", 65<<10))
	tests := []struct{ name, upstream, want string }{
		{"all well", "descriptor_set: set, tls: {ca_file: cert.pem, cert_file: " + dir + "/cert.pem, key_file: key.pem}", ""},
		{
			"no such file", "descriptor_set: nothing",
			"descriptor_set: cannot read DIR/nothing: no such file or directory (a relative path begins at the folder of the config file)",
		},
		{"no such absolute file", "descriptor_set: " + dir + "/nothing", "descriptor_set: cannot read DIR/nothing: no such file or directory"},
		{"a folder", "descriptor_set: '.'", "descriptor_set: cannot read DIR: is a folder; name a file in it"},
		{"no descriptor set", "descriptor_set: text", "descriptor_set: DIR/text is not a serialized FileDescriptorSet; make one with `buf build -o FILE` or `protoc --include_imports -o FILE`"},
		{"no certificate", "tls: {ca_file: text}", "tls.ca_file: DIR/text holds no certificate in PEM form"},
		{"no certificate file", "tls: {ca_file: nothing}", "tls.ca_file: cannot read DIR/nothing: no such file or directory (a relative path begins at the folder of the config file)"},
		{"another's key", "tls: {cert_file: cert.pem, key_file: other.pem}", "tls.cert_file: cannot be used together with key_file: tls: private key does not match public key"},
		{"too large a secret", "metadata: {x: {file: huge}}", `metadata["x"].file: cannot read DIR/huge: is larger than 65536 bytes; is it the right file?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, dir, "grpc-sse.yaml", "upstreams: [{target: 'a:1', "+tt.upstream+"}]")
			l, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Resolve()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := "upstreams[0]." + strings.ReplaceAll(tt.want, "DIR", dir)
			if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), path+":1:") {
				t.Errorf("got  %v\nwant …%s", err, want)
			}
		})
	}
}

// The bridge's own certificate is checked at start, so that a mistake shows there and not at the first client.
func TestServerTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t)
	_, otherKey := certificate(t)
	write(t, dir, "cert.pem", cert)
	write(t, dir, "key.pem", key)
	write(t, dir, "other.pem", otherKey)
	for _, tt := range []struct{ cert, key, want string }{
		{"cert.pem", "key.pem", ""},
		{dir + "/cert.pem", "key.pem", ""},
		{"nothing", "key.pem", "tls.cert_file: cannot read DIR/nothing: no such file or directory (a relative path begins at the folder of the config file)"},
		{"cert.pem", "nothing", "tls.key_file: cannot read DIR/nothing: no such file or directory (a relative path begins at the folder of the config file)"},
		{"cert.pem", "other.pem", "tls.cert_file: cannot be used together with key_file: tls: private key does not match public key"},
		{"key.pem", "key.pem", "tls.cert_file: cannot be used together with key_file: tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"},
		{"cert.pem", "cert.pem", "tls.cert_file: cannot be used together with key_file: tls: found a certificate rather than a key in the PEM for the private key"},
	} {
		path := write(t, dir, "grpc-sse.yaml", up+"tls: {cert_file: "+tt.cert+", key_file: "+tt.key+"}")
		l, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Resolve()
		switch want := strings.ReplaceAll(tt.want, "DIR", dir); {
		case want == "" && err != nil:
			t.Error(err)
		case want == "":
			if *s.TLS != (config.TLS{CertFile: dir + "/cert.pem", KeyFile: dir + "/key.pem"}) {
				t.Errorf("%+v", s.TLS)
			}
		case err == nil || !strings.HasSuffix(err.Error(), want):
			t.Errorf("got  %v\nwant …%s", err, want)
		}
	}
}
