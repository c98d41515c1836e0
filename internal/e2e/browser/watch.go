package browser

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// PagePath is where a proxy in front of the streams serves PageHTML (cutproxy.Options.Pages): Watch opens it there, so
// that page and streams have one origin.
const PagePath = "/.browser-test"

// PageHTML is the page that reads streams for Watch.
//
//go:embed page.html
var PageHTML string

// Watching is how streams are read.
type Watching struct {
	// Types are the event types to listen for. EventSource hides all others.
	Types []string
	// Until is the type after whose first event the page closes the stream. Empty: the stream is read until the browser
	// itself closes it for good.
	Until string
	// Within is how long one stream may take. Default 20 s.
	Within time.Duration
	// AtOnce is how many streams are read at once per origin. Default 5: browsers open six connections to one host.
	AtOnce int
}

// Seen is what a page saw of one stream.
type Seen struct {
	URL    string  `json:"url"`
	Events []Event `json:"events"`
	Opens  int     `json:"opens"`  // how often onopen fired
	Errors int     `json:"errors"` // how often onerror fired
	Ended  string  `json:"ended"`  // until, closed (by the browser, for good) or timeout
}

// Event is one event as a page gets it.
type Event struct {
	Type string `json:"type"`
	ID   string `json:"id"` // lastEventId: what the browser would present on a reconnect
	Data string `json:"data"`
}

// Watch reads the streams at paths with plain EventSources and returns what was seen of each, in the same order. The
// streams are shared out among the origins, which must all serve the same, and PageHTML at PagePath.
func (b *Browser) Watch(t *testing.T, origins, paths []string, w Watching) []Seen {
	t.Helper()
	if w.Within == 0 {
		w.Within = 20 * time.Second
	}
	if w.AtOnce == 0 {
		w.AtOnce = 5
	}
	shares := make([][]string, len(origins))
	for i, path := range paths {
		shares[i%len(origins)] = append(shares[i%len(origins)], path)
	}
	js := fmt.Sprintf(`const [origins, shares, options, atOnce] = %s;
		return Promise.all(origins.map((origin, i) => watchIn(origin, shares[i] ?? [], options, atOnce)));`,
		mustJSON(origins, shares, map[string]any{"types": w.Types, "until": w.Until, "within": w.Within.Milliseconds()}, w.AtOnce))
	rounds := (len(shares[0]) + w.AtOnce - 1) / w.AtOnce
	var results [][]Seen
	b.Open(t, origins[0]+PagePath).Eval(time.Duration(rounds)*w.Within+pageTimeout, js, &results)

	all := make([]Seen, len(paths))
	for i := range paths {
		all[i] = results[i%len(origins)][i/len(origins)]
	}
	return all
}

func mustJSON(values ...any) []byte {
	encoded, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return encoded
}
