package browser_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"
	"github.com/grpc-sse/grpc-sse/internal/e2e/cutproxy"
)

// accepts is what the engines ask for over https, of what the bridge has. Over http it can be less (docs/browsers.md).
var accepts = map[string][]string{
	"chromium": {"gzip", "br", "zstd"},
	"firefox":  {"gzip", "br", "zstd"},
	"webkit":   {"gzip", "br"},
}

// Compressed or not, each event is there when it is sent: the second one only goes out when the first has been seen. What
// an engine does not accept it gets uncompressed.
func TestCompressedEventsArriveAtOnce(t *testing.T) {
	for _, encoding := range []string{"gzip", "br", "zstd"} {
		w := launch(t, "compression: {encodings: ["+encoding+"]}\n")
		pair, _ := certificate(t)
		t.Run(encoding, func(t *testing.T) {
			browsers.Each(t, func(t *testing.T, b *browser.Browser) {
				p := cutproxy.Start(t, cutproxy.Options{Target: w.addr, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}})
				name := b.Name
				w.backend.Define(name, script.Note("one"), script.Gate(name), script.Note("two"), script.End())
				x := follow(t, b, p.Origins()[0], blank, "/v1/play/"+name)
				if saw := x.until(`seen.events.some((e) => e.type === "note")`); !has(saw, "note") {
					t.Errorf("the first event did not arrive before the second: %s", brief(saw))
				}
				w.backend.Open(name)
				saw := x.until(`seen.ended || seen.events.some((e) => e.type === "stream.end")`)
				if got := strings.Join(typesOf(saw), " "); got != "stream.open note note stream.end" {
					t.Errorf("saw %s", brief(saw))
				}
				want := ""
				for _, a := range accepts[b.Name] {
					if a == encoding {
						want = encoding
					}
				}
				request, response := heads(t, last(t, p, "/v1/play/"))
				t.Logf("Accept-Encoding: %s", request.Header.Get("Accept-Encoding"))
				if got := response.Header.Get("Content-Encoding"); got != want {
					t.Errorf("Content-Encoding %q, want %q", got, want)
				}
			})
		})
	}
}

// A compressed response that is cut anywhere resumes: the page sees each event once.
func TestCompressedStreamResumes(t *testing.T) {
	for _, encoding := range []string{"gzip", "br", "zstd"} {
		w := launch(t, "compression: {encodings: ["+encoding+"]}\n")
		pair, _ := certificate(t)
		s := stream{addr: w.addr, path: "/v1/play/three", types: []string{"note"}, data: defineThree(w.backend)}
		t.Run(encoding, func(t *testing.T) {
			browsers.Each(t, func(t *testing.T, b *browser.Browser) { s.cutCompressed(t, b, pair) })
		})
	}
}

// cutCompressed reads s many times; each time the first response is cut some bytes further on.
func (s stream) cutCompressed(t *testing.T, b *browser.Browser, pair tls.Certificate) {
	t.Helper()
	const cuts, step = 40, 9 // as long as the responses, or longer: a cut behind the end is none
	var mu sync.Mutex
	cutAlready := map[string]bool{}
	p := cutproxy.Start(t, cutproxy.Options{
		Target: s.addr, Hosts: 8, TLS: &tls.Config{Certificates: []tls.Certificate{pair}},
		Pages: map[string]string{browser.PagePath: browser.PageHTML},
		Plan: func(r *http.Request) *cutproxy.Cut {
			after, err := strconv.Atoi(caseOf(r))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || cutAlready[caseOf(r)] {
				return nil
			}
			cutAlready[caseOf(r)] = true
			return &cutproxy.Cut{Body: true, After: after * step}
		},
	})
	var paths []string
	for i := range cuts {
		paths = append(paths, s.url(strconv.Itoa(i)))
	}
	watching := s.watching()
	watching.Within = patience
	for i, saw := range b.Watch(t, p.Origins(), paths, watching) {
		if problem := s.whole(saw); problem != "" {
			t.Errorf("cut after %d bytes: %s\nsaw %+v", i*step, problem, saw)
		}
	}
	cut, encoded := 0, 0
	for _, e := range p.Exchanges() {
		if e.Cut {
			cut++
		}
		if bytes.Contains(e.Response, []byte("\r\nContent-Encoding: ")) {
			encoded++
		}
	}
	t.Logf("%d of %d responses were cut, %d were compressed", cut, len(p.Exchanges()), encoded)
	if cut < cuts/2 {
		t.Errorf("only %d responses were cut", cut)
	}
}

// last is the last exchange for a path that begins so.
func last(t *testing.T, p *cutproxy.Proxy, prefix string) (found cutproxy.Exchange) {
	t.Helper()
	for _, e := range p.Exchanges() {
		if bytes.HasPrefix(e.Request, []byte("GET "+prefix)) {
			found = e
		}
	}
	if found.Conn == 0 {
		t.Fatal("nobody asked for " + prefix)
	}
	return found
}

func heads(t *testing.T, e cutproxy.Exchange) (*http.Request, *http.Response) {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(e.Request)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(e.Response)), request)
	if err != nil {
		t.Fatal(fmt.Errorf("%w: %q", err, e.Response))
	}
	_ = response.Body.Close()
	return request, response
}
