package bridge

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

// CertificateAge is how old the bridge's knowledge of its certificate's files may be.
const CertificateAge = certificateAge

// Trim gives back the memory that a burst of connects leaves.
var Trim = trim

// Times of Trim.
const (
	TrimEvery = trimEvery
	TrimPause = trimPause
)

// Bounded bounds the connections of a listener.
var Bounded = bounded

// NewServer is the server of the bridge's main listener, for tests.
func NewServer(h http.Handler, files *config.TLS) (*http.Server, error) {
	return (&Bridge{
		handler: h, logger: slog.New(slog.DiscardHandler),
		settings: &config.Settings{TLS: files, HeaderBytes: config.DefaultHeaderBytes, WriteTimeout: 20 * time.Second},
	}).mainServer()
}

// NewCertificate returns the GetCertificate of the certificate in files.
func NewCertificate(files config.TLS, logger *slog.Logger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	c, err := newCertificate(files, logger)
	if err != nil {
		return nil, err
	}
	return c.get, nil
}
