package tail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// withDefaults checks o and fills in the defaults. Its errors are for who typed the options.
func (o Options) withDefaults() (Options, error) {
	err := errors.Join(checkURL(o.URL), checkHeader(o.Header), checkData(o.Data))
	if i := strings.IndexFunc(o.LastEventID, notHeaderRune); i >= 0 {
		err = errors.Join(err, fmt.Errorf("last event id %q: holds a control character at byte %d", o.LastEventID, i))
	}
	if err != nil {
		return o, err
	}
	o.Header = o.Header.Clone()
	if o.Header == nil {
		o.Header = http.Header{}
	}
	if o.LastEventID == "" {
		o.LastEventID = o.Header.Get("Last-Event-ID")
	}
	o.Header.Del("Last-Event-ID")
	o.Header.Set("Accept", "text/event-stream")
	o.Header.Set("Cache-Control", "no-store")
	if o.Header.Get("Idempotency-Key") == "" {
		o.Header.Set("Idempotency-Key", newKey())
	}
	if o.Data != nil && o.Header.Get("Content-Type") == "" {
		o.Header.Set("Content-Type", "application/json")
	}
	o.MaxRetries = orDefault(o.MaxRetries, DefaultMaxRetries)
	o.RetryDelay = orDefault(o.RetryDelay, DefaultRetryDelay)
	o.Silence = orDefault(o.Silence, DefaultSilence)
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	return o, nil
}

func orDefault[T comparable](value, byDefault T) T {
	var zero T
	if value == zero {
		return byDefault
	}
	return value
}

func checkURL(raw string) error {
	if raw == "" {
		return errors.New("no URL: give the stream's, such as http://localhost:8080/v1/prices")
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		if !strings.Contains(raw, "://") {
			return fmt.Errorf("%q is no http or https URL: write http://%s", raw, strings.TrimLeft(raw, "/"))
		}
		return fmt.Errorf("%q is no http or https URL", raw)
	}
	if u.Host == "" {
		return fmt.Errorf("%q names no host", raw)
	}
	return nil
}

// checkHeader finds what net/http would refuse only while connecting.
func checkHeader(h http.Header) error {
	var errs []error
	for name, values := range h {
		if name == "" || strings.ContainsFunc(name, notTokenRune) {
			errs = append(errs, fmt.Errorf("header name %q: only letters, digits and !#$%%&'*+-.^_`|~ may be in it", name))
		}
		for _, value := range values {
			if strings.ContainsFunc(value, notHeaderRune) {
				errs = append(errs, fmt.Errorf("header %s: its value holds a control character", name))
			}
		}
	}
	return errors.Join(errs...)
}

// notHeaderRune says which characters no header's value can have.
func notHeaderRune(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7F }

// notTokenRune says which characters no header's name can have.
func notTokenRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	default:
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
}

func checkData(data []byte) error {
	if data == nil || json.Valid(data) {
		return nil
	}
	var any json.RawMessage
	err := json.Unmarshal(data, &any)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("data is no JSON: %w, at byte %d", err, syntax.Offset)
	}
	return fmt.Errorf("data is no JSON: %w", err)
}
