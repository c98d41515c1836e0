package bridge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/config"
)

// certificateAge is how old the bridge's knowledge of its certificate's files may be.
const certificateAge = 5 * time.Second

// certificate is the certificate in two files, read again when they change. It has no goroutine of its own: handshakes
// look, at most once in certificateAge, and one at a time while the others go on with what there is.
type certificate struct {
	files  config.TLS
	logger *slog.Logger

	pair atomic.Pointer[tls.Certificate] // never nil

	mu        sync.Mutex
	looked    time.Time // when the files were read last
	cert, key []byte    // what pair was made of
	problem   string    // why the files cannot be used, as it was logged; "" where they can
}

// newCertificate reads the files.
func newCertificate(files config.TLS, logger *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, logger: logger, looked: time.Now()}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is a tls.Config's GetCertificate. It never fails.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		if now := time.Now(); now.Sub(c.looked) >= certificateAge {
			c.looked = now
			c.refresh()
		}
		c.mu.Unlock()
	}
	return c.pair.Load(), nil
}

// refresh takes the files' certificate where it has changed. Files that cannot be used are not an error yet, since
// nothing writes two files at once; the log says so once for each reason.
func (c *certificate) refresh() {
	changed, err := c.reload()
	switch {
	case err != nil && err.Error() != c.problem:
		c.logger.Error("the new certificate cannot be used: the one before stays", "cause", err)
		c.problem = err.Error()
	case err == nil:
		c.problem = ""
		if changed {
			c.logger.Info("a new certificate is used", "file", c.files.CertFile, "expires", c.pair.Load().Leaf.NotAfter)
		}
	}
}

// reload reads the files and reports whether there is a new pair.
func (c *certificate) reload() (changed bool, err error) {
	cert, err := os.ReadFile(c.files.CertFile)
	if err != nil {
		return false, fmt.Errorf("read the certificate (tls.cert_file): %w", err)
	}
	key, err := os.ReadFile(c.files.KeyFile)
	if err != nil {
		return false, fmt.Errorf("read the certificate's key (tls.key_file): %w", err)
	}
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("certificate %s and key %s: %w", c.files.CertFile, c.files.KeyFile, err)
	}
	c.cert, c.key = cert, key
	c.pair.Store(&pair)
	return true, nil
}
