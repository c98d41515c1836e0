package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Path is a way from a client to an endpoint. What a case shows must hold on each.
type Path string

// The paths. On HTTP1 the bridge takes the connections of streams over from the HTTP server, and on the others it does
// not: what writes a stream is not the same code.
const (
	HTTP1 Path = "http1" // HTTP/1.1 in plaintext, each request on a connection of its own
	H2C   Path = "h2c"   // HTTP/2 in plaintext, all requests of a case on one connection
	TLS   Path = "tls"   // HTTP/1.1 over TLS
)

// Paths are all of them.
var Paths = []Path{HTTP1, H2C, TLS}

// http is the version that a step is asked over which names none, as Step.HTTP.
func (p Path) http() string {
	if p == H2C {
		return "h2c"
	}
	return ""
}

// Holds reports whether the case is one for this path: one of a setup with TLS needs TLS, and some are about what a
// single path does.
func (c Case) Holds(s Setup, path Path) bool {
	if s.TLS && path != TLS {
		return false
	}
	return len(c.Over) == 0 || slices.Contains(c.Over, path)
}

// checkOver finds paths that are not known, and cases that leave some out without a reason.
func (c Case) checkOver() error {
	for _, p := range c.Over {
		if !slices.Contains(Paths, p) {
			return fmt.Errorf("over: there is no path %q", p)
		}
	}
	if (len(c.Over) > 0) != (strings.TrimSpace(c.Because) != "") {
		return errors.New("a case that holds over some paths alone says why, and no other does")
	}
	return nil
}
