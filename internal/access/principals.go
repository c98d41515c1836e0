package access

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
)

// Principal is who sends a request, as a hash: the header's or cookie's value itself is kept nowhere. The zero value is
// nobody in particular (anonymous).
type Principal [sha256.Size]byte

// Anonymous reports whether nobody is named.
func (p Principal) Anonymous() bool { return p == Principal{} }

// Principals tells who sends a request. A nil *Principals finds everybody anonymous. It is immutable.
type Principals struct{ header, cookie string }

// NewPrincipals goes by a header or by a cookie, whichever is named; by neither everybody is anonymous.
func NewPrincipals(header, cookie string) (*Principals, error) {
	if header != "" && cookie != "" {
		return nil, errors.New("principal: it is either a header or a cookie, not both: leave one out")
	}
	return &Principals{header: header, cookie: cookie}, nil
}

// Of returns who sends r.
//
// Every value counts, in its order. If a proxy adds its header to one that the client sent, the two make a principal of
// their own and never somebody else's. Values that are all empty name nobody.
func (p *Principals) Of(r *http.Request) Principal {
	if p == nil {
		return Principal{}
	}
	var values []string
	switch {
	case p.header != "":
		values = r.Header.Values(p.header)
	case p.cookie != "":
		for _, c := range r.CookiesNamed(p.cookie) {
			values = append(values, c.Value)
		}
	}
	named := false
	// Each value after its length, so that no two lists make the same bytes.
	var buf []byte
	for _, v := range values {
		named = named || v != ""
		buf = binary.AppendUvarint(buf, uint64(len(v)))
		buf = append(buf, v...)
	}
	if !named {
		return Principal{}
	}
	return sha256.Sum256(buf)
}
