package bridgetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// watcher is a client that keeps its last id over restarts of the bridge, and checks all that it is given over its whole
// life.
type watcher struct {
	t    *testing.T
	name string
	path string

	leave func()        // cuts the connection
	done  chan struct{} // closed when all that was received is noted

	mu       sync.Mutex
	cursor   string
	position uint64 // of the highest id so far
	sequence uint64 // of the newest event so far, as the backend counts
	opened   bool
}

// connect presents the last id, and reads until the connection ends.
func (c *watcher) connect(w *world) {
	c.t.Helper()
	var options []option
	if c.cursor != "" {
		options = append(options, from(c.cursor))
	}
	response, err := w.client.Do(w.request(http.MethodGet, c.path, "", options...))
	if err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
	c.leave, c.done, c.opened = func() { _ = response.Body.Close() }, make(chan struct{}), false
	go func() {
		defer close(c.done)
		for p := sse.NewParser(response.Body, 0); ; {
			e, err := p.Next()
			if err != nil {
				return
			}
			c.note(e)
		}
	}()
}

// disconnect cuts the connection, if the bridge did not.
func (c *watcher) disconnect() {
	c.leave()
	<-c.done
}

func (c *watcher) note(e sse.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var data struct{ Sequence string }
	isEvent := !strings.HasPrefix(e.Type, "stream.")
	if isEvent {
		if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
			c.t.Errorf("%s: %v", c.name, err)
		}
		sequence, _ := strconv.ParseUint(data.Sequence, 10, 64)
		if c.sequence != 0 && sequence != c.sequence+1 {
			c.t.Errorf("%s: event %d follows event %d, under the ids %s and %s", c.name, sequence, c.sequence, e.ID, c.cursor)
		}
		c.sequence = sequence
	}
	if e.HasID {
		position, err := strconv.ParseUint(strings.SplitN(e.ID, ".", 2)[0], 10, 64)
		if err != nil || position < c.position || isEvent && position == c.position {
			c.t.Errorf("%s: %s has the id %s, after %s", c.name, e.Type, e.ID, c.cursor)
		}
		c.cursor, c.position = e.ID, position
	}
	switch e.Type {
	case "stream.open":
		c.opened = true
		if c.sequence != 0 && !strings.Contains(e.Data, `"resumed":true`) {
			c.t.Errorf("%s presented %s: %s", c.name, e.ID, e.Data)
		}
	case "stream.reset", "stream.end":
		c.t.Errorf("%s: %s %s", c.name, e.Type, e.Data)
	}
}

// has reports whether the client has everything up to the event, and is connected.
func (c *watcher) has(sequence uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened && c.sequence >= sequence
}

func (c *watcher) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%s is at event %d, id %s, connected %t", c.name, c.sequence, c.cursor, c.opened)
}

// crowd is all clients of the test, and the logs that they watch.
type crowd struct {
	t       *testing.T
	backend *script.Backend
	all     []*watcher
	head    uint64
}

// join connects n new clients to each stream.
func (c *crowd) join(w *world, n int) {
	c.t.Helper()
	for _, method := range []string{"public", "earliest", "tokens", "own"} {
		for _, log := range []string{"oldest", "head"} {
			for range n {
				client := &watcher{t: c.t, name: fmt.Sprintf("client %d of %s/%s", len(c.all), method, log), path: "/v1/" + method + "/" + log}
				client.connect(w)
				c.all = append(c.all, client)
			}
		}
	}
}

// grow adds an event to each log.
func (c *crowd) grow(n uint64) {
	c.head += n
	for _, log := range []string{"oldest", "head"} {
		c.backend.Append(log, n)
	}
}

// arrive waits until these clients have everything.
func (c *crowd) arrive(clients []*watcher) {
	c.t.Helper()
	for _, client := range clients {
		eventually(c.t, "everything has arrived", func() bool { return client.has(c.head) }, client.String)
	}
}

// running waits until each log is watched by so many calls.
func (c *crowd) running(n int) {
	c.t.Helper()
	for _, log := range []string{"oldest", "head"} {
		await(c.t, c.backend, log, func(calls []*scriptv1.Call) bool {
			running := 0
			for _, call := range calls {
				if !call.GetEnded() {
					running++
				}
			}
			return running == n
		})
	}
}

// begin waits until clients that present nothing read, and gives each stream events. Beside the calls that are shared
// there are so many of readers of their own.
func (c *crowd) begin(clients []*watcher, own int) {
	c.t.Helper()
	for _, client := range clients {
		eventually(c.t, "the stream is open", func() bool { return client.has(0) }, client.String)
	}
	c.running(3 + own) // what comes now reaches them
	c.grow(3)
	c.arrive(clients)
}

// TestRestartsWithMovedClocks restarts the bridge under its clients again and again, each time with another clock, and lets
// others be there first: every id of every client lies above those that it had, and the backend's cursors lose nothing.
func TestRestartsWithMovedClocks(t *testing.T) {
	b, address := scripted(t)
	for log, at := range map[string]scriptv1.Begin{"oldest": scriptv1.Begin_BEGIN_OLDEST, "head": scriptv1.Begin_BEGIN_LIVE} {
		if err := b.DefineLog(&scriptv1.Log{Stream: log, BeginAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	c := &crowd{t: t, backend: b}
	listen := reserve(t)
	offset := time.Duration(0)
	for _, move := range []time.Duration{0, -5 * time.Minute, time.Hour, -9 * time.Minute} {
		offset += move
		moved := offset
		w := launchAt(t, listen, upstreams(address)+impatient, func() time.Time { return time.Now().Add(moved) })
		w.awaitReady()
		known := c.all
		c.join(w, 1)
		c.begin(c.all[len(known):], 1)
		for _, client := range known {
			client.connect(w)
		}
		if len(known) == 0 {
			c.join(w, 3) // 32 in all
			c.begin(c.all, 4)
		}
		for i := range 4 {
			c.grow(2)
			for n, client := range c.all { // some are cut, before or after they have it
				if n%4 == i {
					client.disconnect()
					client.connect(w)
				}
			}
		}
		c.arrive(c.all)
		c.grow(1)
		for n, client := range c.all { // these miss something of what this bridge has
			if n%3 == 0 {
				client.disconnect()
			}
		}
		c.grow(5)
		w.stop()
		for _, client := range c.all {
			client.disconnect()
		}
		c.running(0)
	}
}
