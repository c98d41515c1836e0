package config

import (
	"crypto/tls"
	"crypto/x509"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// serverTLS checks that the files hold a certificate and its key. They are read again by who serves with them.
func (r *check) serverTLS() *TLS {
	c := r.Config.GetTls()
	if c == nil {
		return nil
	}
	switch {
	case c.GetCertFile() == "" && c.GetKeyFile() == "":
		r.add("tls", "needs a certificate and its key: give cert_file and key_file")
	default:
		r.pair("tls", c)
	}
	return &TLS{CertFile: r.path("tls.cert_file", c.GetCertFile()), KeyFile: r.path("tls.key_file", c.GetKeyFile())}
}

func (r *check) upstreamTLS(field string, c *configv1.UpstreamTls) *tls.Config {
	if c == nil {
		return nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.GetServerName()}
	if c.GetCaFile() != "" {
		if pem := r.read(field+".ca_file", c.GetCaFile(), maxPEMBytes); pem != nil {
			t.RootCAs = x509.NewCertPool()
			if !t.RootCAs.AppendCertsFromPEM(pem) {
				r.add(field+".ca_file", "%s holds no certificate in PEM form", r.path(field, c.GetCaFile()))
			}
		}
	}
	if c.GetCertFile() != "" || c.GetKeyFile() != "" {
		t.Certificates = r.pair(field, c)
	}
	return t
}

// pairFiles are the files of a certificate and its key, of which at least one is named.
type pairFiles interface {
	GetCertFile() string
	GetKeyFile() string
}

// pair reads a certificate and its key; nil after it reported why it cannot.
func (r *check) pair(field string, c pairFiles) []tls.Certificate {
	switch {
	case c.GetCertFile() == "":
		r.add(field+".key_file", "a key without a certificate; give cert_file too")
		return nil
	case c.GetKeyFile() == "":
		r.add(field+".cert_file", "a certificate without its key; give key_file too")
		return nil
	}
	cert := r.read(field+".cert_file", c.GetCertFile(), maxPEMBytes)
	key := r.read(field+".key_file", c.GetKeyFile(), maxPEMBytes)
	if cert == nil || key == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		r.add(field+".cert_file", "cannot be used together with key_file: %v", err)
		return nil
	}
	return []tls.Certificate{pair}
}
