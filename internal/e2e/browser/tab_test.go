package browser_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/browser"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// patience is how long a page that does not answer is waited for: long, since machines may be slow.
const patience = 2 * time.Minute

// tab is a page that reads one stream with a plain EventSource, from when it is opened until it is told to close it.
type tab struct {
	t *testing.T
	*browser.Page
}

// blank is the path of an empty page, which the backend itself has.
var blank = "/v1/body?content_type=text/html&text=" + url.QueryEscape("<!doctype html><title>tab</title>")

// follow opens a page of this origin, and in it the stream at path. `until` waits for a condition on what was seen.
func follow(t *testing.T, b *browser.Browser, origin, page, path string) tab {
	t.Helper()
	x := tab{t, b.Open(t, origin+page)}
	x.Eval(patience, fmt.Sprintf(`
		const waiting = [];
		window.seen = {url: %q, events: [], opens: 0, errors: 0, ended: ""};
		const look = () => { for (const check of waiting) check(); };
		window.until = (ok) => new Promise((resolve) => {
			const check = () => { if (ok(seen)) resolve(seen); };
			waiting.push(check);
			check();
		});
		window.source = new EventSource(seen.url);
		source.onopen = () => { seen.opens++; look(); };
		source.onerror = () => {
			seen.errors++;
			if (source.readyState === EventSource.CLOSED) seen.ended = "closed";
			look();
		};
		for (const type of ["odd", "even", "note", "stream.open", "stream.reset", "stream.waiting", "stream.busy", "stream.end"]) {
			source.addEventListener(type, (e) => {
				seen.events.push({type, id: e.lastEventId, data: e.data});
				if (type === "stream.end") source.close();
				look();
			});
		}`, path), nil)
	return x
}

// until waits until ok, an expression on what was `seen`, and returns that. It also returns when it never is.
func (x tab) until(ok string) browser.Seen {
	x.t.Helper()
	return x.within(patience/2, ok)
}

// within is until for something that might not be.
func (x tab) within(d time.Duration, ok string) (saw browser.Seen) {
	x.t.Helper()
	x.Eval(patience, fmt.Sprintf(`
		const late = new Promise((resolve) => setTimeout(resolve, %d));
		await Promise.race([until((seen) => %s), late]);
		return seen`, d.Milliseconds(), ok), &saw)
	return saw
}

// links waits for n events of a log and checks that they are the first n, each once and in order.
func (x tab) links(n int) browser.Seen {
	x.t.Helper()
	saw := x.until(fmt.Sprintf(`seen.events.filter((e) => !e.type.startsWith("stream.")).length >= %d`, n))
	var got, want []uint64
	var chain script.Chain
	for _, e := range saw.Events {
		if e.Type != "odd" && e.Type != "even" {
			continue
		}
		var event struct {
			Stream, Prev, Hash, Payload string
			N                           uint64 `json:",string"`
		}
		if err := json.Unmarshal([]byte(e.Data), &event); err != nil {
			x.t.Fatalf("%v: %s", err, e.Data)
		}
		err := chain.Add(&scriptv1.ChainResponse{Stream: event.Stream, N: event.N, Prev: event.Prev, Hash: event.Hash, Payload: event.Payload})
		if err != nil {
			x.t.Error(err)
		}
		got = append(got, event.N)
	}
	for i := range n {
		want = append(want, uint64(i)+1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		x.t.Fatalf("events (-want +got):\n%s\nsaw %s", diff, brief(saw))
	}
	return saw
}

// brief leaves out the data.
func brief(saw browser.Seen) string {
	types := typesOf(saw)
	return fmt.Sprintf("%d opens, %d errors, ended %q: %q", saw.Opens, saw.Errors, saw.Ended, types)
}

func typesOf(saw browser.Seen) (types []string) {
	for _, e := range saw.Events {
		types = append(types, e.Type)
	}
	return types
}

// has reports whether an event of this type was seen.
func has(saw browser.Seen, kind string) bool { return slices.Contains(typesOf(saw), kind) }

// define makes a log of so many events.
func define(t *testing.T, b *script.Backend, stream string, events uint64, size uint32) {
	t.Helper()
	if err := b.DefineLog(&scriptv1.Log{Stream: stream, Head: events, Size: size}); err != nil {
		t.Fatal(err)
	}
}
