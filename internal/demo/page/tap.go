package page

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

const (
	// The page names its tap, and the run of a stream, in the query of what it asks the bridge. The bridge ignores keys
	// that begin with an underscore.
	tapKey = "_tap"
	runKey = "_run"

	maxTaps     = 64      // the one that was used least recently goes first
	maxTapBytes = 4 << 20 // of records in one tap; the oldest go first
)

var tapName = regexp.MustCompile(`^[A-Za-z0-9]{8,32}$`)

var (
	wireOpen  = sse.MustEventName("open-connection")
	wireHead  = sse.MustEventName("head")
	wireData  = sse.MustEventName("bytes")
	wireClose = sse.MustEventName("close-connection")
)

// taps are the taps by name.
type taps struct {
	mu     sync.Mutex
	byName map[string]*tap
}

// get returns the tap of this name, made if need be; nil for a name that cannot be one.
func (t *taps) get(name string) *tap {
	if !tapName.MatchString(name) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.byName[name]
	if found == nil {
		if t.byName == nil {
			t.byName = map[string]*tap{}
		}
		for len(t.byName) >= maxTaps {
			t.forgetOldest()
		}
		found = &tap{changed: make(chan struct{}), links: map[*link]bool{}, first: 1}
		t.byName[name] = found
	}
	found.used = time.Now()
	return found
}

func (t *taps) forgetOldest() {
	var oldest string
	for name, tap := range t.byName {
		if oldest == "" || tap.used.Before(t.byName[oldest].used) {
			oldest = name
		}
	}
	delete(t.byName, oldest)
}

// open connects a link to the tap that its request names, if it names one.
func (t *taps) open(l *link, r *http.Request) *tap {
	query := r.URL.Query()
	found := t.get(query.Get(tapKey))
	if found == nil {
		return nil
	}
	l.run = query.Get(runKey)
	found.opened(l, r)
	return found
}

// tap is the record of what passed between one page and the bridge. Its methods do nothing on a nil *tap.
type tap struct {
	used time.Time // under taps.mu

	mu      sync.Mutex
	records []record
	first   int64 // the number of records[0], counted from 1
	size    int   // bytes of all records
	changed chan struct{}
	links   map[*link]bool
	count   int // connections so far
}

type record struct {
	name sse.EventName
	data []byte // JSON
}

// note is a record's data. Which fields are set depends on the record's name.
type note struct {
	Run         string      `json:"run"`
	Connection  int         `json:"connection"`
	At          int64       `json:"at"` // milliseconds since 1970
	Method      string      `json:"method,omitempty"`
	URL         string      `json:"url,omitempty"`
	LastEventID string      `json:"lastEventId,omitempty"` // as the browser sent it
	Status      int         `json:"status,omitempty"`
	Header      http.Header `json:"header,omitempty"`
	Text        string      `json:"text,omitempty"`
	Why         string      `json:"why,omitempty"` // end, cut, client or error
}

func (t *tap) opened(l *link, r *http.Request) {
	t.mu.Lock()
	t.count++
	l.number = t.count
	t.links[l] = true
	t.mu.Unlock()
	t.append(wireOpen, l, note{Method: r.Method, URL: shown(r.URL), LastEventID: r.Header.Get("Last-Event-ID")})
}

// shown is a URL without what the page adds for itself.
func shown(u *url.URL) string {
	if u.RawQuery == "" {
		return u.RequestURI()
	}
	var kept []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if !strings.HasPrefix(part, tapKey+"=") && !strings.HasPrefix(part, runKey+"=") {
			kept = append(kept, part)
		}
	}
	clean := *u
	clean.RawQuery = strings.Join(kept, "&")
	return clean.RequestURI()
}

func (t *tap) head(l *link, r *http.Response) {
	if t != nil {
		t.append(wireHead, l, note{Status: r.StatusCode, Header: r.Header})
	}
}

// data records a part of the answer's body. A character that was torn in two by the network is shown as U+FFFD.
func (t *tap) data(l *link, b []byte) {
	if t != nil && len(b) > 0 {
		t.append(wireData, l, note{Text: strings.ToValidUTF8(string(b), string(utf8.RuneError))})
	}
}

// closed records the end of a connection. The error is what ended the copying.
func (t *tap) closed(l *link, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	delete(t.links, l)
	t.mu.Unlock()
	n := note{Why: "error"}
	switch {
	case l.cut.Load() || errors.Is(err, errCut):
		n.Why = "cut"
	case err == nil:
		n.Why = "end"
	case l.gone.Load():
		n.Why = "client"
	}
	t.append(wireClose, l, n)
}

func (t *tap) append(name sse.EventName, l *link, n note) {
	n.Run, n.Connection, n.At = l.run, l.number, time.Now().UnixMilli()
	data, err := json.Marshal(n)
	if err != nil {
		return // cannot be: a note is plain data
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, record{name, data})
	t.size += len(data)
	for t.size > maxTapBytes && len(t.records) > 1 {
		t.size -= len(t.records[0].data)
		t.records[0] = record{}
		t.records = t.records[1:]
		t.first++
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// after returns the records after the one with this number, the number of the first of them, and what is closed when
// there are more.
func (t *tap) after(number int64) ([]record, int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if number >= t.first+int64(len(t.records)) { // a number of an earlier process, or of a tap that was forgotten
		number = 0
	}
	begin := max(number+1, t.first)
	index := min(begin-t.first, int64(len(t.records)))
	return t.records[index:len(t.records):len(t.records)], begin, t.changed
}

// cut cuts the run's connections soon, and returns how many there are.
func (t *tap) cut(run string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for l := range t.links {
		if l.run == run {
			l.breakSoon()
			n++
		}
	}
	return n
}
