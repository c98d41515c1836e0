//go:build unix

package torture_test

import (
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// way is how a reader asks for a stream. What it gets goes through other code of the bridge's, and must be the same.
type way struct {
	http2  bool   // HTTP/2 in plaintext; the bridge's GOAWAY comes that way, too
	coding string // of the response: gzip or zstd; "" for none
	odd    bool   // only every other event
	fields bool   // events without their payload
}

// ways are those of the readers of one channel, in turn. Most are HTTP/1.1 in plaintext, which is what browsers get behind a
// proxy, and where the bridge takes the connection over.
var ways = []way{
	{},
	{http2: true},
	{coding: "gzip"},
	{odd: true},
	{http2: true, coding: "zstd"},
	{fields: true},
	{},
	{http2: true, fields: true},
	{coding: "zstd"},
	{odd: true, coding: "gzip"},
}

// way is how a reader of the channel asks. What a view shows can only be checked where nothing may be missing and there
// are no snapshots.
func (c *channel) way(reader int) way {
	w := ways[reader%len(ways)]
	if !c.cursor || c.keyed || c.keep > 0 {
		w.odd, w.fields = false, false
	}
	return w
}

func (w way) String() string {
	parts := []string{"HTTP/1.1"}
	if w.http2 {
		parts[0] = "HTTP/2"
	}
	if w.odd {
		parts = append(parts, "types")
	}
	if w.fields {
		parts = append(parts, "fields")
	}
	return strings.Join(append(parts, cmp.Or(w.coding, "plain")), " ")
}

// apply makes a client ask in this way. Compressed responses are counted.
func (w way) apply(c *oracle.Client, counts *atomic.Int64) {
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: !w.http2, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!w.http2)
	transport.Protocols.SetUnencryptedHTTP2(w.http2)
	c.HTTP = &http.Client{Transport: transport}
	if w.coding != "" {
		c.Header.Set("Accept-Encoding", w.coding)
		c.HTTP.Transport = decoding{Transport: transport, counts: counts}
	}
	view := ""
	if w.odd {
		view = "sse.events=odd"
	}
	if w.fields {
		view = "sse.fields=stream,n,prev,hash"
	}
	if view != "" {
		c.URL += "?" + view
	}
}

// decoding takes the content coding off responses: the oracle knows of none.
type decoding struct {
	*http.Transport
	counts *atomic.Int64 // of responses that had one
}

// RoundTrip makes a request.
func (d decoding) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.Transport.RoundTrip(r)
	if err == nil && resp.Header.Get("Content-Encoding") != "" {
		d.counts.Add(1)
		resp.Body = &decoded{from: resp.Body, coding: resp.Header.Get("Content-Encoding")}
	}
	return resp, err
}

// decoded is a body without its coding. What has come before a cut can be read.
type decoded struct {
	from   io.ReadCloser
	coding string
	text   io.Reader // nil before the first read: decoders begin with reading
	zstd   *zstd.Decoder
}

// Read reads text.
func (d *decoded) Read(p []byte) (n int, err error) {
	if d.text == nil {
		if err := d.begin(); err != nil {
			return 0, err
		}
	}
	return d.text.Read(p)
}

func (d *decoded) begin() error {
	switch d.coding {
	case "gzip":
		text, err := gzip.NewReader(d.from)
		if err != nil {
			return err
		}
		d.text = text
	case "zstd":
		text, err := zstd.NewReader(d.from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		d.text, d.zstd = text, text
	default:
		return fmt.Errorf("the content coding %q is not known", d.coding)
	}
	return nil
}

// Close closes the body.
func (d *decoded) Close() error {
	if d.zstd != nil {
		d.zstd.Close()
	}
	return d.from.Close()
}

// check is oracle.Check for what the reader wanted to see.
func (w way) check(t *oracle.Transcript, log string) error {
	if !w.odd && !w.fields {
		return oracle.Check(t, log, true)
	}
	errs := []error{
		oracle.WellFormed(t), oracle.Opened(t), oracle.Rising(t), oracle.Unique(t), oracle.Announced(t), oracle.Isolated(t, log), oracle.Terminal(t),
	}
	if w.fields {
		errs = append(errs, oracle.Contiguous(t), chained(t))
	}
	return errors.Join(errs...)
}

// chained checks this of events that have no payload: each holds the hash of the one before.
func chained(t *oracle.Transcript) error {
	var last oracle.Link
	for i, r := range t.Records {
		if strings.HasPrefix(r.Event, "stream.") {
			continue
		}
		link, err := oracle.DecodeLink(r.Data)
		switch {
		case err != nil:
			return fmt.Errorf("record %d: %w", i, err)
		case link.Payload != "":
			return fmt.Errorf("record %d has fields that were not asked for: %s", i, r.Data)
		case last.N > 0 && link.N == last.N+1 && link.Prev != last.Hash: // whether it is the next one is another check's
			return fmt.Errorf("record %d: link %d does not hold the hash of the one before it", i, link.N)
		}
		last = link
	}
	return nil
}

// everyOther checks this: from the first one on, every link with an odd number came once, in order and unchanged, and no
// other. If it is to be whole the first one is link 1.
func everyOther(t *oracle.Transcript, whole bool) error {
	var last uint64
	for i, r := range t.Records {
		if strings.HasPrefix(r.Event, "stream.") {
			continue
		}
		link, err := oracle.DecodeLink(r.Data)
		switch {
		case err != nil:
			return fmt.Errorf("record %d: %w", i, err)
		case link.Hash != link.Sum():
			return fmt.Errorf("record %d: link %d was changed on the way", i, link.N)
		case link.N%2 == 0, last > 0 && link.N != last+2, last == 0 && whole && link.N != 1:
			return fmt.Errorf("record %d: link %d behind %d, of those with odd numbers", i, link.N, last)
		}
		last = link.N
	}
	return nil
}

// TestPlantedFaultsInViews shows that what views show is checked.
func TestPlantedFaultsInViews(t *testing.T) {
	links := func(numbers ...uint64) *oracle.Transcript {
		t, all := &oracle.Transcript{}, map[uint64]oracle.Link{0: {}}
		for n := uint64(1); n <= 9; n++ {
			l := oracle.Link{Stream: "s", N: n, Prev: all[n-1].Hash}
			l.Hash = l.Sum()
			all[n] = l
		}
		for _, n := range numbers {
			data := fmt.Sprintf(`{"stream":"s","n":"%d","prev":%q,"hash":%q}`, n, all[n].Prev, all[n].Hash)
			t.Records = append(t.Records, oracle.Record{Event: "odd", Data: data})
		}
		return t
	}
	for _, test := range []struct {
		name         string
		whole, right bool
		numbers      []uint64
	}{
		{"right", true, true, []uint64{1, 3, 5, 7}},
		{"from the middle", false, true, []uint64{5, 7, 9}},
		{"the first is missing", true, false, []uint64{3, 5, 7}},
		{"one is missing", true, false, []uint64{1, 3, 7}},
		{"one twice", true, false, []uint64{1, 3, 3, 5}},
		{"another order", true, false, []uint64{1, 5, 3, 7}},
		{"one of another type", true, false, []uint64{1, 3, 4, 5}},
	} {
		if err := everyOther(links(test.numbers...), test.whole); (err == nil) != test.right {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	good := links(1, 2, 3)
	if err := chained(good); err != nil {
		t.Error(err)
	}
	broken := links(1, 2, 3)
	broken.Records[1].Data = strings.Replace(broken.Records[1].Data, `"hash":"`, `"hash":"0`, 1)
	if chained(broken) == nil {
		t.Error("a changed hash was not found")
	}
	good.Records[2].Data = strings.Replace(good.Records[2].Data, "{", `{"payload":"x",`, 1)
	if chained(good) == nil {
		t.Error("a field that nobody asked for was not found")
	}
}
