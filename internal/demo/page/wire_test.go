package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// contextOf is a context that the test ends itself, and that ends at the latest a minute after.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
}

// note is what a record of the wire says.
type note struct {
	Name, ID                                 string
	Run, Method, URL, LastEventID, Text, Why string
	Connection, Status                       int
}

// wire reads the tap from after the record with this number, until enough says that this was the last.
func wire(t *testing.T, addr, tap, after string, enough func(note) bool) []note {
	t.Helper()
	ctx, cancel := contextOf(t)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/demo/wire?tap="+tap, nil)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	p := sse.NewParser(resp.Body, 1<<20)
	var got []note
	for {
		e, err := p.Next()
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		if e.Type == "ready" {
			continue
		}
		n := note{Name: e.Type, ID: e.ID}
		if err := json.Unmarshal([]byte(e.Data), &n); err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
		if enough(n) {
			return got
		}
	}
}

func closing(n note) bool { return n.Name == "close-connection" }

const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

func chunk(frame string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(frame), frame) }

func TestWire(t *testing.T) {
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, sseHead+chunk(":\n\n")+chunk("id: 1\ndata: é\n\n")+"0\r\n\r\n")
	})
	addr := serve(t, b.addr)
	request := "GET /v1/feed?a=1&_tap=testtap1&_run=7&b=%2F HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 0.x\r\n\r\n"
	if _, err := raw(t, addr, request); err != nil {
		t.Fatal(err)
	}
	got := wire(t, addr, "testtap1", "", closing)
	var text strings.Builder
	var others []note
	for _, n := range got {
		if n.Name == "bytes" {
			text.WriteString(n.Text)
		} else {
			others = append(others, n)
		}
	}
	want := []note{
		{Name: "open-connection", ID: "1", Run: "7", Connection: 1, Method: "GET", URL: "/v1/feed?a=1&b=%2F", LastEventID: "0.x"},
		{Name: "head", ID: "2", Run: "7", Connection: 1, Status: 200},
		{Name: "close-connection", ID: others[len(others)-1].ID, Run: "7", Connection: 1, Why: "end"},
	}
	if diff := cmp.Diff(want, others); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if text.String() != ":\n\nid: 1\ndata: é\n\n" {
		t.Errorf("bytes %q", text.String())
	}
	if diff := cmp.Diff(got[1:], wire(t, addr, "testtap1", "1", closing)); diff != "" {
		t.Errorf("from record 1 on (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, wire(t, addr, "testtap1", "999", closing)); diff != "" {
		t.Errorf("from a record that never was (-want +got):\n%s", diff)
	}
	if _, err := raw(t, addr, strings.Replace(request, "testtap1", "testtap2", 1)); err != nil {
		t.Fatal(err)
	}
	if other := wire(t, addr, "testtap2", "", closing); other[0].Connection != 1 || other[0].ID != "1" {
		t.Errorf("another page sees %v", other)
	}
}

// A hint ahead of the answer is not the answer.
func TestWireAfterEarlyHints(t *testing.T) {
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	})
	addr := serve(t, b.addr)
	if _, err := raw(t, addr, "GET /v1/feed?_tap=testtap1&_run=1 HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got := wire(t, addr, "testtap1", "", closing)
	if len(got) != 4 || got[1].Status != http.StatusOK || got[2].Text != "x" {
		t.Errorf("records %+v", got)
	}
}

// cutting starts a stream, asks to cut it, and returns what the client got and how it ended. The bridge sends frame
// after the request to cut was answered.
func cutting(t *testing.T, frame string) (got string, records []note, err error) {
	t.Helper()
	armed := make(chan struct{})
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, sseHead+chunk("id: 1\ndata: 1\n\n"))
		<-armed
		_, _ = io.WriteString(w, frame)
	})
	addr := serve(t, b.addr)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /stays?_tap=testtap1&_run=7 HTTP/1.1\r\nHost: h\r\n\r\n")
	wire(t, addr, "testtap1", "", func(n note) bool { return n.Name == "bytes" })
	for run, want := range map[string]string{"6": `{"connections":0}`, "7": `{"connections":1}`} {
		resp, err := http.Post("http://"+addr+"/demo/cut", "application/json", strings.NewReader(`{"tap":"testtap1","run":"`+run+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if strings.TrimSpace(string(answer)) != want {
			t.Fatalf("cutting run %s: %s", run, answer)
		}
	}
	close(armed)
	all, err := io.ReadAll(conn)
	_, rest, _ := strings.Cut(string(all), chunk("id: 1\ndata: 1\n\n"))
	return rest, wire(t, addr, "testtap1", "", closing), err
}

func TestCutInsideAFrame(t *testing.T) {
	frame := chunk("id: 2\nevent: price\ndata: {\"sequence\":2,\"symbol\":\"ACME\"}\n\n")
	got, records, err := cutting(t, frame)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
	if !strings.HasPrefix(frame, got) || !strings.HasSuffix(got, `data: {"sequence":`) {
		t.Errorf("the client got %q, want the frame as far as into its data", got)
	}
	n := len(records)
	torn, end := records[n-2], records[n-1]
	if !strings.HasSuffix(got, torn.Text) || torn.Text == "" || end.Why != "cut" {
		t.Errorf("recorded %+v and %+v, want what the client got, and a cut", torn, end)
	}
}

func TestCutOfAnUnknownShape(t *testing.T) {
	got, _, err := cutting(t, chunk(":::::::\n\n"))
	if !errors.Is(err, syscall.ECONNRESET) || got != "9\r\n::::" {
		t.Errorf("got %q, %v, want the first half and a reset", got, err)
	}
}

func TestCutWithoutAFrame(t *testing.T) {
	got, records, err := cutting(t, "")
	if !errors.Is(err, syscall.ECONNRESET) || got != "" || records[len(records)-1].Why != "cut" {
		t.Errorf("got %q, %v, %+v, want a reset", got, err, records)
	}
}

func TestToolsRefuse(t *testing.T) {
	b := bridge(t, func(*http.Request, io.Writer) {})
	addr := serve(t, b.addr)
	for _, test := range []struct {
		name, method, path, body, site string
		status                         int
	}{
		{"a name that is too short", "GET", "/demo/wire?tap=short", "", "", 400},
		{"a name with odd characters", "GET", "/demo/wire?tap=abcdefgh%0A", "", "", 400},
		{"no name", "POST", "/demo/cut", `{}`, "", 400},
		{"no JSON", "POST", "/demo/cut", `tap`, "", 400},
		{"another site", "POST", "/demo/cut", `{"tap":"testtap1","run":"1"}`, "cross-site", 403},
		{"the wrong method", "GET", "/demo/cut", "", "", 405},
		{"an unknown tool", "GET", "/demo/other", "", "", 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := http.NewRequest(test.method, "http://"+addr+test.path, strings.NewReader(test.body))
			r.Header.Set("Sec-Fetch-Site", test.site)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer http.DefaultClient.CloseIdleConnections()
			_ = resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
		})
	}
}

// Taps that nobody uses any more must not pile up, and neither must the records of one.
func TestTapsAreBounded(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	b := bridge(t, func(_ *http.Request, w io.Writer) {
		_, _ = io.WriteString(w, sseHead+strings.Repeat(chunk(big), 6)+"0\r\n\r\n")
	})
	addr := serve(t, b.addr)
	for i := range 70 {
		path := "/demo/cut"
		body := fmt.Sprintf(`{"tap":"manytaps%d","run":"1"}`, i)
		if i == 0 {
			if _, err := raw(t, addr, "GET /v1/feed?_tap=manytaps0&_run=1 HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if first := wire(t, addr, "manytaps0", "", func(note) bool { return true })[0]; first.Name == "open-connection" {
				t.Errorf("a tap holds all of 6 MB")
			}
		}
		resp, err := http.Post("http://"+addr+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	if _, err := raw(t, addr, "GET /v1/feed?_tap=manytaps0&_run=1 HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if last := wire(t, addr, "manytaps0", "", closing); last[len(last)-1].Connection != 1 {
		t.Errorf("the tap that was used least recently was kept: %v", last[len(last)-1])
	}
}
