package access

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/rs/cors"
	"google.golang.org/grpc/codes"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
)

// preflightAge is how long, in seconds, browsers may remember a preflight's answer.
const preflightAge = 600

// methods are those of google.api.http rules; HEAD is answered without a call.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// requestHeaders are those that pages of listed origins may always set, besides what browsers let through anyway.
var requestHeaders = []string{
	"Authorization", "Cache-Control", "Content-Type", "Grpc-Timeout", "Idempotency-Key", "Last-Event-ID", "X-Requested-With",
}

// Origins are the pages of other origins that may use the bridge. It is immutable.
type Origins struct {
	listed  []string
	options cors.Options
	cors    *cors.Cors // for methods
}

// OriginOptions say which pages of other origins may use the bridge, and how.
type OriginOptions struct {
	// Origins are theirs, each exactly as browsers send it. None allows no other pages.
	Origins []string
	// Credentials is whether they may send cookies and HTTP authentication.
	Credentials bool
	// Forwarded are request headers that they may set besides those that the bridge itself reads.
	Forwarded []string
	// Exposed are response headers that they may read besides Retry-After.
	Exposed []string
}

// NewOrigins makes Origins; an error names what is no origin.
func NewOrigins(options OriginOptions) (*Origins, error) {
	for _, o := range options.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Scheme+"://"+u.Host != o {
			return nil, fmt.Errorf("cors.origins: %q is no origin: write it as browsers send it, like https://app.example.com", o)
		}
	}
	result := &Origins{listed: slices.Clone(options.Origins)}
	result.options = cors.Options{
		// Not AllowedOrigins: an empty list would mean all, and a * in a name a pattern.
		AllowOriginFunc:  result.isListed,
		AllowedMethods:   methods,
		AllowedHeaders:   slices.Concat(requestHeaders, options.Forwarded),
		ExposedHeaders:   slices.Concat([]string{"Retry-After"}, options.Exposed),
		AllowCredentials: options.Credentials,
		MaxAge:           preflightAge,
	}
	result.cors = cors.New(result.options)
	return result, nil
}

func (o *Origins) isListed(origin string) bool { return slices.Contains(o.listed, origin) }

// Handler answers preflights, refuses with 403 what a foreign page or an element that reads no answer (an <img>) has
// sent, and hands everything else to next with the CORS headers of a listed origin. Requests that come from no browser
// carry none of the headers it looks at, and pass: this protects users of browsers, not backends.
func (o *Origins) Handler(next http.Handler) http.Handler {
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if detail := o.refusal(r); detail != "" {
			outcome.Problem{Status: http.StatusForbidden, Code: codes.PermissionDenied, Detail: detail}.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
	usual := o.cors.Handler(checked)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if wanted := r.Header.Get("Access-Control-Request-Method"); method == http.MethodOptions && wanted != "" {
			method = wanted
		}
		if method == http.MethodOptions || slices.Contains(methods, method) {
			usual.ServeHTTP(w, r)
			return
		}
		// A rule may name any verb; which there are is known by the routes alone. Those there are not are told 405.
		options := o.options
		options.AllowedMethods = []string{method}
		cors.New(options).Handler(checked).ServeHTTP(w, r)
	})
}

// refusal says why a request is refused; "" if it is not.
func (o *Origins) refusal(r *http.Request) string {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Sec-Fetch-Mode") == "no-cors" {
		return "an element of a page (an image, a script) cannot start a call: use EventSource or fetch"
	}
	switch origin := r.Header.Values("Origin"); {
	case len(origin) > 1:
		return "the request names more than one origin"
	case len(origin) == 1 && !o.isListed(origin[0]) && !isOwn(r, origin[0], site):
		return fmt.Sprintf("pages of the origin %q may not use this service: if they should, add it to cors.origins", origin[0])
	case len(origin) == 0 && site != "" && site != "same-origin" && site != "none":
		return "the request comes from a page of another site: pages use EventSource or fetch, and their origin must be in cors.origins"
	}
	return ""
}

// isOwn reports whether origin is the bridge's own: browsers name it with every POST. Sec-Fetch-Site, which pages cannot
// set, knows best; browsers leave it out on plain HTTP, where the name in Host decides. The scheme is not compared: behind
// a proxy that ends TLS it is not known here.
func isOwn(r *http.Request, origin, site string) bool {
	if site != "" {
		return site == "same-origin"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}
