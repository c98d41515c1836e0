package torture_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// stream is one chain and who reads it.
type stream struct {
	name         string
	events, size int
	every        time.Duration // the pause after each event
	verb         string
	key          string         // what the client calls the stream by; "" for nothing
	trust        *x509.CertPool // the bridge speaks TLS; nil: it does not
	http2        bool           // the client offers HTTP/2; only with TLS
	byHeader     bool           // the key comes as Idempotency-Key, not as sse.call
	tabs         []tab
}

// tab is one client of a stream.
type tab struct {
	// from: the tab begins with the first cursor that the tab before it got at this event or later; 0: at the start.
	from int
	// late tabs begin when the tab before them has come to its end.
	late bool
}

// drawStream draws a stream for at most most clients.
func drawStream(r *rand.Rand, number, events, most int) stream {
	s := stream{
		name: fmt.Sprintf("s%d", number), events: events,
		size: []int{0, 20, 100, 400, 2000}[r.IntN(5)], every: []time.Duration{0, 0, time.Millisecond, 3 * time.Millisecond}[r.IntN(4)],
		verb: http.MethodGet, tabs: []tab{{}},
	}
	if r.IntN(3) == 0 {
		s.verb = http.MethodPost
	}
	if r.IntN(4) > 0 {
		s.key, s.byHeader = fmt.Sprintf("torture-%020d", r.Uint64()), s.verb == http.MethodPost || r.IntN(4) == 0
	}
	if most < 2 || r.IntN(3) > 0 {
		return s
	}
	switch kind := r.IntN(3); {
	case kind == 0: // reads on from an id that the first tab has
		s.tabs = append(s.tabs, tab{from: 1 + r.IntN(events)})
	case s.key != "":
		s.tabs = append(s.tabs, tab{late: kind == 1})
	}
	return s
}

// approximately is how many bytes the stream has on the wire.
func (s *stream) approximately() int { return s.events * (300 + s.size) }

// client makes the client that reads s through the network at address.
func (s *stream) client(address string) *oracle.Client {
	c := &oracle.Client{Verb: s.verb, Header: http.Header{}, MaxDelay: 5 * time.Millisecond}
	every := fmt.Sprintf("%.6fs", s.every.Seconds())
	scheme := "http"
	if s.trust != nil {
		scheme = "https"
	}
	if s.verb == http.MethodPost {
		c.URL = scheme + "://" + address + "/demo.script.v1.ScriptService/Chain?"
		c.Body = fmt.Sprintf(`{"stream":%q,"count":%d,"size":%d,"every":%q}`, s.name, s.events, s.size, every)
	} else {
		c.URL = fmt.Sprintf("%s://%s/v1/chain/%s?count=%d&size=%d&every=%s", scheme, address, s.name, s.events, s.size, every)
	}
	switch {
	case s.byHeader:
		c.Header.Set("Idempotency-Key", s.key)
	case s.key != "":
		c.URL += "&sse.call=" + s.key
	}
	return c
}

// transport makes one connection for each request.
func (s *stream) transport() *http.Transport {
	t := &http.Transport{DisableKeepAlives: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	if s.trust != nil {
		t.Protocols.SetHTTP2(s.http2)
		t.TLSClientConfig = &tls.Config{RootCAs: s.trust, MinVersion: tls.VersionTLS12}
	}
	return t
}

// read reads s with all its tabs, each through a network of its own from networks.
func (s *stream) read(ctx context.Context, networks []string) ([]*oracle.Transcript, error) {
	var tabs sync.WaitGroup
	transcripts := make([]*oracle.Transcript, len(s.tabs))
	errs := make([]error, len(s.tabs))
	begin, cursor := make(chan struct{}), "" // cursor may be read when begin is closed
	for i, tab := range s.tabs {
		c := s.client(networks[i])
		// One connection for each request: what a connection's fate is has nothing to do with the one before.
		c.HTTP = &http.Client{Transport: s.transport()}
		var once sync.Once
		announce := func(id string) { once.Do(func() { cursor = id; close(begin) }) }
		events := 0
		if i == 0 && len(s.tabs) > 1 {
			next := s.tabs[1]
			c.OnRecord = func(r oracle.Record) {
				if r.Event == "link" {
					events++
				}
				if !next.late && events >= next.from && r.ID != "" && r.Event != "stream.end" {
					announce(r.ID)
				}
			}
		}
		tabs.Go(func() {
			if i == 0 && len(s.tabs) > 1 {
				defer announce("") // a tab that failed must not keep the other waiting
			}
			if i > 0 {
				<-begin
				if tab.from > 0 {
					c.Cursor = cursor
				}
			}
			transcripts[i], errs[i] = c.Run(ctx)
		})
	}
	tabs.Wait()
	return transcripts, errors.Join(errs...)
}

// checkAll checks every promise, and that nothing was missing at all.
func (s *stream) checkAll(b *script.Backend, transcripts []*oracle.Transcript) error {
	errs := []error{s.check(b, transcripts), s.calledOnce(b, transcripts)}
	for i, t := range transcripts {
		if err := oracle.Complete(t, uint64(s.tabs[i].from)+1, uint64(s.events)); err != nil {
			errs = append(errs, fmt.Errorf("tab %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// check checks the promises that hold whatever happens.
func (s *stream) check(_ *script.Backend, transcripts []*oracle.Transcript) error {
	errs := []error{oracle.Identical(transcripts...)}
	for i, t := range transcripts {
		if err := oracle.Check(t, s.name, true); err != nil {
			errs = append(errs, fmt.Errorf("tab %d, %d connections: %w", i, len(t.Connections), err))
		}
	}
	return errors.Join(errs...)
}

// calledOnce checks this: a stream with a key is one call, and a request without a cursor or a key makes at most one.
func (s *stream) calledOnce(b *script.Backend, transcripts []*oracle.Transcript) error {
	most := 1
	if s.key == "" {
		most = 0
		for _, t := range transcripts {
			for _, c := range t.Connections {
				if c.Presented == "" {
					most++
				}
			}
		}
	}
	if calls := len(b.Calls(s.name)); calls < 1 || calls > most {
		return fmt.Errorf("the backend was called %d times, want 1 to %d", calls, most)
	}
	return nil
}

// torture is many clients, and a network that breaks all the time.
type torture struct {
	clients, events int
	config          string         // the bridge's, beside its backend
	trust           *x509.CertPool // of clients, where the config says that the bridge speaks TLS
	// fate draws what happens to a connection.
	fate func(*rand.Rand, *stream) fate
	// check checks what all clients of a stream got.
	check func(*stream, *script.Backend, []*oracle.Transcript) error
}

// run tortures the bridge and returns all that the clients got.
func (o torture) run(t *testing.T) (all []*oracle.Transcript) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d, %d clients, %d events", seed, o.clients, o.events)
	b, upstream := backend(t)
	target := bridge(t, upstream, o.config)
	ctx := guarded(t)

	begin := time.Now()
	counts := &tally{}
	var work sync.WaitGroup
	var mu sync.Mutex // guards all
	clients := 0
	for number := 0; clients < o.clients; number++ {
		r := rand.New(rand.NewPCG(seed, uint64(number)))
		s := drawStream(r, number, o.events, o.clients-clients)
		s.trust, s.http2 = o.trust, number%2 == 0
		var networks []string
		for range s.tabs {
			n := &network{
				target: target, tally: counts, opaque: o.trust != nil, random: rand.New(rand.NewPCG(r.Uint64(), 0)),
				next: func(r *rand.Rand, _ int) fate { return o.fate(r, &s) },
			}
			networks = append(networks, n.start(t))
			clients++
		}
		work.Go(func() {
			transcripts, err := s.read(ctx, networks)
			if err := errors.Join(err, o.check(&s, b, transcripts)); err != nil {
				t.Errorf("seed %d: stream %+v: %s", seed, s, brief(err))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, transcripts...)
		})
	}
	work.Wait()
	sums := counts.sums()
	t.Logf("%d clients read %d MB over %d connections in %v: %d refused, %d cut before the first byte, %d reset, %d closed",
		clients, sums.bytes>>20, sums.connections, time.Since(begin).Round(time.Millisecond),
		sums.refused, sums.silent, sums.resets, sums.closes)
	if sums.faults() < clients {
		t.Errorf("%d faults for %d clients: the network was too good to show anything", sums.faults(), clients)
	}
	if err := b.Await(ctx, "", script.AllEnded(1)); err != nil {
		t.Errorf("calls that nobody reads: %v", err)
	}
	return all
}

// TestTorture: with room for everything, nothing at all may be missing.
func TestTorture(t *testing.T) {
	events := int(*eventsFlag)
	torture{
		clients: int(*clientsFlag), events: events,
		config: fmt.Sprintf("limits: {log_bytes: %d}\n", 256<<20+*clientsFlag*uint64(events)*2000) +
			fmt.Sprintf(rule, fmt.Sprintf("{retention: {events: %d, bytes: %d}}", events+100, 8<<20+events*4000)),
		fate:  func(r *rand.Rand, s *stream) fate { return draw(r, s.approximately()) },
		check: (*stream).checkAll,
	}.run(t)
}

// rule is the part of a config that says how chains are kept.
const rule = "rules: [{selector: demo.script.v1.ScriptService.Chain, stream: %s}]\n"

// TestTortureWithoutMemory: where logs are taken away, every gap is announced, every stream comes to its end, and no
// call stands still.
func TestTortureWithoutMemory(t *testing.T) {
	all := torture{
		clients: int(*clientsFlag) / 2, events: int(*eventsFlag),
		// Calls that nobody reads are given up soon: what they hold is unsent, and the budget must wait for them.
		config: "limits: {log_bytes: 1048576}\n" + fmt.Sprintf(rule, "{linger: 1s, retention: {bytes: 131072}}"),
		fate:   func(r *rand.Rand, s *stream) fate { return draw(r, 4*s.approximately()) },
		check:  (*stream).check,
	}.run(t)
	announced := map[string]int{}
	for _, t := range all {
		for _, r := range t.Records {
			if strings.HasPrefix(r.Event, "stream.") {
				var data struct{ Reason, Status string }
				_ = json.Unmarshal([]byte(r.Data), &data) // it is only counted here
				announced[r.Event+" "+data.Reason+data.Status]++
			}
		}
	}
	t.Logf("announced: %v", announced)
	if announced["stream.reset expired"] == 0 || announced["stream.end OK"] == 0 {
		t.Error("no log was short, or nobody came to the end: that shows nothing")
	}
}

// brief is the beginning of what is wrong: one lost event breaks several promises, and what follows it more.
func brief(err error) string {
	const enough = 1500
	text := err.Error()
	if len(text) > enough {
		text = text[:enough] + " …"
	}
	return text
}
