package torture_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// TestTortureOverTLS is the same over TLS, for clients that speak HTTP/1.1 and for those that speak HTTP/2.
func TestTortureOverTLS(t *testing.T) {
	events := int(*eventsFlag) / 2
	config, trust := certificate(t)
	torture{
		clients: int(*clientsFlag) / 4, events: events, trust: trust,
		config: config + "limits: {log_bytes: 268435456}\n" +
			fmt.Sprintf(rule, fmt.Sprintf("{retention: {events: %d, bytes: %d}}", events+100, 8<<20+events*4000)),
		fate:  func(r *rand.Rand, s *stream) fate { return draw(r, s.approximately()) },
		check: (*stream).checkAll,
	}.run(t)
}

// certificate is a certificate for 127.0.0.1 in files, as config, and who trusts it.
func certificate(t *testing.T) (yaml string, trust *x509.CertPool) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust = x509.NewCertPool()
	trust.AddCert(server.Certificate())
	return "tls: {cert_file: " + filepath.Join(dir, "cert.pem") + ", key_file: " + filepath.Join(dir, "key.pem") + "}\n", trust
}
