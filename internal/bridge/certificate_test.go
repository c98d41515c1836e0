package bridge_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/bridge"
	"github.com/grpc-sse/grpc-sse/internal/config"
)

// issue writes a certificate for this name, signed by itself, and its key into dir.
func issue(t *testing.T, dir, name string) config.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"bridge.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := config.TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	put(t, files.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	put(t, files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return files
}

func put(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { <-time.After(d) }

// nameOf is the name in the certificate that get returns.
func nameOf(t *testing.T, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) string {
	t.Helper()
	c, err := get(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.Subject.CommonName
}

// New files are used within a few seconds, files that do not fit never, and neither disturbs who connects meanwhile.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		files := issue(t, dir, "first")
		var log bytes.Buffer
		get, err := bridge.NewCertificate(files, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(name, when string) {
			t.Helper()
			if got := nameOf(t, get); got != name {
				t.Errorf("%s: the certificate of %s, want %s's; log:\n%s", when, got, name, &log)
			}
		}
		expect("first", "at start")

		issue(t, dir, "second")
		pass(bridge.CertificateAge - time.Millisecond)
		expect("first", "before it is time to look")
		pass(time.Millisecond)
		expect("second", "after a change")

		// A key that does not fit, for long: as when only one file has been replaced so far.
		third, err := os.ReadFile(issue(t, t.TempDir(), "third").CertFile)
		if err != nil {
			t.Fatal(err)
		}
		put(t, files.CertFile, third)
		for range 3 {
			pass(bridge.CertificateAge)
			expect("second", "with another's key")
		}
		if n := strings.Count(log.String(), "cannot be used"); n != 1 {
			t.Errorf("the log says %d times that the files cannot be used, want once:\n%s", n, &log)
		}
		issue(t, dir, "fourth")
		pass(bridge.CertificateAge)
		expect("fourth", "with the key that fits")

		if err := os.Remove(files.KeyFile); err != nil {
			t.Fatal(err)
		}
		pass(bridge.CertificateAge)
		expect("fourth", "without a file")
		if n := strings.Count(log.String(), "cannot be used"); n != 2 {
			t.Errorf("the log says %d times that the files cannot be used, want twice:\n%s", n, &log)
		}
		if n := strings.Count(log.String(), "a new certificate is used"); n != 2 {
			t.Errorf("the log tells of %d new certificates, want 2:\n%s", n, &log)
		}
	})
}

func TestCertificateConcurrently(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		get, err := bridge.NewCertificate(issue(t, dir, "first"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		issue(t, dir, "second")
		pass(bridge.CertificateAge)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { nameOf(t, get) })
		}
		wg.Wait()
		if got := nameOf(t, get); got != "second" {
			t.Errorf("the certificate of %s", got)
		}
	})
}

func TestCertificateMissing(t *testing.T) {
	files := issue(t, t.TempDir(), "a")
	other := issue(t, t.TempDir(), "b")
	for want, files := range map[string]config.TLS{
		"tls.cert_file":              {CertFile: "no/such/file", KeyFile: files.KeyFile},
		"tls.key_file":               {CertFile: files.CertFile, KeyFile: "no/such/file"},
		"private key does not match": {CertFile: files.CertFile, KeyFile: other.KeyFile},
	} {
		if _, err := bridge.NewServer(nil, &files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
