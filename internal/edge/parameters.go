package edge

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Bounds of the bridge's own parameters.
const (
	maxWait   = 2 * time.Minute
	maxEvents = 64
	// minAnonymousName is how long a client's name must be that no principal vouches for: others could guess it.
	minAnonymousName = 22
)

// parameters are the bridge's own query parameters and headers.
type parameters struct {
	cursor string        // empty: none presented
	key    string        // names the call; empty: none
	client string        // names the client whose cursor is kept; empty: none
	events []string      // types to show; empty: all
	fields string        // mask on data; empty: none
	wait   time.Duration // poll mode; 0: none
	frames string        // plain or typed; empty: as the method says
}

var (
	keyGrammar    = regexp.MustCompile(`^[A-Za-z0-9_-]{22,64}$`)
	clientGrammar = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	eventGrammar  = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,128}$`)
)

// setters read the bridge's own query parameters.
var setters = map[string]func(p *parameters, value string) error{
	"sse.last_event_id": func(p *parameters, value string) error {
		p.cursor = value
		return nil
	},
	"sse.call": func(p *parameters, value string) error {
		if p.key = value; !keyGrammar.MatchString(value) {
			return errors.New("sse.call must be 22 to 64 characters of [A-Za-z0-9_-]; draw them at random for each call")
		}
		return nil
	},
	"sse.client_id": func(p *parameters, value string) error {
		if p.client = value; !clientGrammar.MatchString(value) {
			return errors.New("sse.client_id must be 1 to 64 characters of [A-Za-z0-9_.-]")
		}
		return nil
	},
	"sse.events": (*parameters).setEvents,
	"sse.fields": func(p *parameters, value string) error {
		if p.fields = value; value == "" {
			return errors.New("sse.fields is empty; name fields, separated by commas, or leave it out")
		}
		return nil
	},
	"sse.wait": (*parameters).setWait,
	"sse.frames": func(p *parameters, value string) error {
		if p.frames = value; value != "plain" && value != "typed" {
			return fmt.Errorf("sse.frames is %q; there are plain and typed", value)
		}
		return nil
	},
}

func (p *parameters) setEvents(value string) error {
	p.events = strings.Split(value, ",")
	if len(p.events) > maxEvents {
		return fmt.Errorf("sse.events names more than %d types", maxEvents)
	}
	for _, name := range p.events {
		if !eventGrammar.MatchString(name) {
			return fmt.Errorf("sse.events: %q is no event type; name types, separated by commas", name)
		}
	}
	return nil
}

func (p *parameters) setWait(value string) error {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > maxWait {
		return fmt.Errorf("sse.wait is %q; give a duration such as 20s, more than 0 and at most %s", value, maxWait)
	}
	p.wait = d
	return nil
}

// parameters takes the bridge's own parameters out of the query and returns what binds to the message.
func (q *request) parameters() (url.Values, error) {
	if q.r.URL.RawQuery == "" {
		return nil, q.headers()
	}
	query, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query is malformed: %w", err)
	}
	for name, values := range query {
		if !strings.HasPrefix(name, "sse.") {
			continue
		}
		delete(query, name)
		if len(values) != 1 {
			return nil, fmt.Errorf("query parameter %s is given %d times; give it once", name, len(values))
		}
		set := setters[name]
		if set == nil {
			return nil, fmt.Errorf("unknown query parameter %s; there are sse.last_event_id, sse.call, sse.client_id, "+
				"sse.events, sse.fields, sse.wait and sse.frames", name)
		}
		if err := set(&q.own, values[0]); err != nil {
			return nil, err
		}
	}
	return query, q.headers()
}

// headers reads the headers that say the same as parameters.
func (q *request) headers() error {
	// The header wins: it is what the browser saw last, the parameter what the page began with.
	if cursor := q.r.Header.Get("Last-Event-Id"); cursor != "" { // as net/http spells it: it need not be spelt anew
		q.own.cursor = cursor
	}
	// A unary call is not named: what such a header says there is for whom it is forwarded to.
	if key := q.r.Header.Get("Idempotency-Key"); key != "" && q.method.ServerStreaming {
		if !keyGrammar.MatchString(key) {
			return errors.New("Idempotency-Key must be 22 to 64 characters of [A-Za-z0-9_-]; draw them at random for each call")
		}
		if q.own.key != "" && q.own.key != key {
			return errors.New("sse.call and Idempotency-Key name two calls; give one of them")
		}
		q.own.key = key
	}
	return nil
}
