package view_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/view"
)

// forms are the representations, and what each makes of the same stream.
var forms = []struct {
	form                                         view.Representation
	opening, price, waiting, beat, end, fail     string
	reset, undecodable, busy, gone, limit, nobye string
	goesOn                                       bool // after a reset
}{
	{
		form:    view.SSE,
		opening: ":\nretry: 2731\nid: " + id(1) + "\nevent: stream.open\ndata: {\"resumed\":false}\n\n",
		price:   price(2), waiting: frame("", "stream.waiting", `{"code":14}`), beat: ":\n\n",
		end: frame(endID(3), "stream.end", goodEnd), fail: frame(endID(3), "stream.end", badEnd),
		reset: frame(id(9), "stream.reset", `{"reason":"expired","missed":6}`), undecodable: undecodable, busy: busy,
		goesOn: true,
	},
	{
		form:    view.Plain,
		opening: ":\nretry: 2731\nid: " + id(1) + "\n\n",
		price:   "id: " + id(2) + "\ndata: {\"sequence\":2}\n\n", beat: ":\n\n",
		end:         "id: " + endID(3) + "\ndata: [DONE]\n\n",
		fail:        "id: " + endID(3) + "\ndata: {\"error\":" + badEnd + "}\n\n",
		reset:       "id: " + endID(9) + "\ndata: {\"error\":{\"code\":15,\"status\":\"DATA_LOSS\",\"message\":\"events are missing that are no longer kept: ask again\"}}\n\n",
		undecodable: "id: " + endID(3) + "\ndata: {\"error\":{\"code\":15,\"status\":\"DATA_LOSS\",\"message\":\"a message of the backend's cannot be shown as JSON: invalid UTF-8\"}}\n\n",
		busy:        ":\nretry: 31000\n\n",
	},
	{
		form:    view.NDJSON,
		opening: `{"id":"` + id(1) + `","event":"stream.open","data":{"resumed":false}}` + "\n",
		price:   `{"id":"` + id(2) + `","event":"price","data":{"sequence":2}}` + "\n",
		waiting: `{"event":"stream.waiting","data":{"code":14}}` + "\n", beat: "\n",
		end:         `{"id":"` + endID(3) + `","event":"stream.end","data":` + goodEnd + "}\n",
		fail:        `{"id":"` + endID(3) + `","event":"stream.end","data":` + badEnd + "}\n",
		reset:       `{"id":"` + id(9) + `","event":"stream.reset","data":{"reason":"expired","missed":6}}` + "\n",
		undecodable: `{"id":"` + id(3) + `","event":"stream.undecodable","data":{"type":"a.B","reason":"invalid UTF-8","size":7}}` + "\n",
		busy:        `{"event":"stream.busy","data":{"reason":"drain"}}` + "\n",
		limit:       `{"event":"stream.busy","data":{"reason":"limit"}}` + "\n",
		goesOn:      true,
	},
	{
		form:        view.JSON,
		price:       `{"result":{"sequence":2}}` + "\n",
		beat:        "\n",
		fail:        `{"error":{"code":5,"message":"no \u003cprice\u003e","details":[{"@type":"x"}]}}` + "\n",
		reset:       `{"error":{"code":15,"message":"events are missing that are no longer kept: ask again","details":[]}}` + "\n",
		undecodable: `{"error":{"code":15,"message":"a message of the backend's cannot be shown as JSON: invalid UTF-8","details":[]}}` + "\n",
		busy:        `{"error":{"code":14,"message":"the bridge is shutting down: ask again","details":[]}}` + "\n",
		gone:        `{"error":{"code":14,"message":"this response has ended and the stream has not: ask again","details":[]}}` + "\n",
		limit:       `{"error":{"code":14,"message":"the bridge ended this response (limit): ask again later","details":[]}}` + "\n",
		nobye:       `{"error":{"code":14,"message":"this response has ended and the stream has not: ask again","details":[]}}` + "\n",
	},
}

const badEnd = `{"code":5,"status":"NOT_FOUND","message":"no \u003cprice\u003e","details":[{"@type":"x"}]}`

var (
	undecodable = frame(id(3), "stream.undecodable", `{"type":"a.B","reason":"invalid UTF-8","size":7}`)
	busy        = "retry: 31000\nevent: stream.busy\ndata: {\"reason\":\"drain\"}\n\n"
)

func TestForms(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		o := view.Options{Representation: f.form, Done: "[DONE]"}
		reset := frame(id(9), "stream.reset", `{"reason":"expired","missed":6}`)
		begin := func(s *stream) *view.View {
			v := view.New(s, o)
			if got := open(v); got != f.opening {
				t.Errorf("%d: opening\n got %s\nwant %s", f.form, quote(got), quote(f.opening))
			}
			return v
		}
		// last is what a frame becomes behind which nothing follows.
		last := func(v *view.View, want string) {
			t.Helper()
			if want != "" {
				expect(t, v, want)
			}
			expectEnd(t, v)
		}
		end, fail := frame(endID(3), "stream.end", goodEnd), frame(endID(3), "stream.end", badEnd)
		v := begin(ended(price(2), "", end))
		expect(t, v, f.price)
		expect(t, v, "")
		last(v, f.end)

		last(begin(ended(fail)), f.fail)
		last(begin(ended(busy)), f.busy+map[bool]string{true: f.gone}[f.form != view.JSON])
		last(begin(ended()), f.gone)
		if f.goesOn {
			expect(t, begin(batches(reset+price(2))), f.reset+f.price)
			expect(t, begin(batches(undecodable+price(2))), f.undecodable+f.price)
		} else {
			last(begin(batches(reset+price(10))), f.reset)
			last(begin(batches(price(2)+undecodable+price(4))), f.price+f.undecodable)
		}

		s := batches()
		s.waiting, s.outage = frame("", "stream.waiting", `{"code":14}`), 3
		v = begin(s)
		got, outage := v.Waiting()
		if string(got) != f.waiting || (outage == 3) != (f.waiting != "") {
			t.Errorf("%d: waiting %q, %d", f.form, got, outage)
		}
		if got, want := string(v.Beat([]byte("x"))), "x"+f.waiting; f.waiting != "" && got != want || f.waiting == "" && got != "x"+f.beat {
			t.Errorf("%d: beat while waiting %q", f.form, got)
		}
		s.outage = 0
		if got := string(v.Beat([]byte("x"))); got != "x"+f.beat {
			t.Errorf("%d: beat %q", f.form, got)
		}
		if got, err := v.Leave([]byte("x"), ""); err != nil || string(got) != "x"+f.nobye {
			t.Errorf("%d: leaving: %q, %v", f.form, got, err)
		}
	}
}

func TestLeaveForAReason(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		for range 20 { // the delay is drawn
			v := view.New(batches(), view.Options{Representation: f.form})
			open(v)
			got, err := v.Leave(nil, "limit")
			if err != nil {
				t.Fatal(err)
			}
			if f.limit != "" {
				if string(got) != f.limit {
					t.Errorf("%d: %q, want %q", f.form, got, f.limit)
				}
				continue
			}
			cut := cutOne(t, got)
			if cut.Retry < 5*time.Second || cut.Retry > time.Minute || (f.form == view.SSE) != (string(cut.Event) == "stream.busy") {
				t.Errorf("%d: %q", f.form, got)
			}
		}
	}
}

// TestNothingIsSaidBehindTheEnd: not by leaving either.
func TestNothingIsSaidBehindTheEnd(t *testing.T) {
	t.Parallel()
	for _, f := range forms[1:] {
		v := view.New(ended(frame(endID(3), "stream.end", goodEnd)), view.Options{Representation: f.form})
		open(v)
		_, _ = v.Next(1000)
		v.Written()
		if got, err := v.Leave(nil, "drain"); err != nil || len(got) != 0 {
			t.Errorf("%d: %q, %v", f.form, got, err)
		}
	}
}

func TestPlainWithoutDone(t *testing.T) {
	t.Parallel()
	v := view.New(ended(price(2)+frame(endID(3), "stream.end", goodEnd)), view.Options{Representation: view.Plain})
	open(v)
	expect(t, v, "id: "+id(2)+"\ndata: {\"sequence\":2}\n\n")
	expectEnd(t, v)
}

// TestResetInTheOpening: plain and JSON responses end where they begin.
func TestResetInTheOpening(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		s := batches(price(10))
		s.opening = frame(id(9), "stream.reset", `{"reason":"expired","missed":6}`)
		v := view.New(s, view.Options{Representation: f.form})
		if got, want := open(v), f.opening+f.reset; got != want {
			t.Errorf("%d: opening\n got %s\nwant %s", f.form, quote(got), quote(want))
		}
		if !f.goesOn {
			expectEnd(t, v)
		}
	}
}

// TestPollThatBeginsWithAReset: the reset that says why a cursor is not resumed is not what a poll ends for.
func TestPollThatBeginsWithAReset(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		if !f.goesOn {
			continue
		}
		s := batches("", price(10), price(11))
		s.opening = frame(id(9), "stream.reset", `{"reason":"expired","missed":6}`)
		v := view.New(s, view.Options{Representation: f.form, Poll: true})
		if got, want := open(v), f.opening+f.reset; got != want {
			t.Errorf("%d: opening\n got %s\nwant %s", f.form, quote(got), quote(want))
		}
		expect(t, v, "")
		if got := next(t, v); !strings.Contains(got, `{"sequence":10}`) {
			t.Errorf("%d: got %s behind the reset", f.form, quote(got))
		}
		expectEnd(t, v)
	}
}

// TestShows: a reader is shown the events that it asked for, and what says that something is missing.
func TestShows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		frames string
		events []string
		want   bool
	}{
		"nothing":          {"", nil, false},
		"an event":         {price(2), nil, true},
		"one of its types": {trade(2) + price(3), []string{"price"}, true},
		"none of them":     {trade(2) + trade(3), []string{"price"}, false},
		"the bridge's own": {bookmark(2) + frame(endID(3), "stream.end", goodEnd), nil, false},
		"a reset":          {frame(id(2), "stream.reset", `{"reason":"expired"}`), []string{"price"}, true},
		"an undecodable":   {frame(id(2), "stream.undecodable", "{}"), []string{"price"}, true},
		"no frame":         {"data: without an end", []string{"price"}, true},
	} {
		if got := (view.Options{Events: c.events}).Shows([]byte(c.frames)); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// TestDirect: where nothing else was asked for, a reader has the stream's bytes, and what the bridge says by itself is
// what it says in any view.
func TestDirect(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]view.Options{
		"plain": {Representation: view.Plain}, "events": {Events: []string{"price"}}, "fields": {Fields: &view.Fields{}}, "poll": {Poll: true},
	} {
		if o.IsDirect() {
			t.Errorf("%s is direct", name)
		}
	}
	if !(view.Options{Done: "[DONE]"}).IsDirect() {
		t.Error("typed SSE frames are not direct")
	}
	for _, waiting := range []string{"", frame("", "stream.waiting", `{"code":14}`)} {
		s := batches()
		if s.waiting = waiting; waiting != "" {
			s.outage = 1
		}
		v, d := view.New(s, view.Options{}), view.Direct{Stream: s}
		if got, want := d.Beat([]byte("x")), v.Beat([]byte("x")); string(got) != string(want) {
			t.Errorf("beat %q, want %q", got, want)
		}
		for _, reason := range []string{"", "limit"} {
			got, err := d.Leave([]byte("x"), reason)
			want, _ := v.Leave([]byte("x"), reason)
			if retry := regexp.MustCompile(`retry: \d+`); err != nil || !bytes.Equal(retry.ReplaceAll(got, nil), retry.ReplaceAll(want, nil)) {
				t.Errorf("leave %q, %v, want %q", got, err, want)
			}
		}
	}
}

func TestErrorsOfTheStream(t *testing.T) {
	t.Parallel()
	for _, form := range []view.Representation{view.SSE, view.Plain, view.NDJSON, view.JSON, view.Raw} {
		s := batches()
		s.fail = errors.New("broken")
		v := view.New(s, view.Options{Representation: form})
		open(v)
		if _, err := v.Next(1); !errors.Is(err, s.fail) {
			t.Errorf("%d: %v", form, err)
		}
		if form == view.SSE {
			continue
		}
		v = view.New(batches("data: cut sho"), view.Options{Representation: form})
		open(v)
		expectCut(t, v)
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	raw := view.Options{Representation: view.Raw}
	body := func(position int, data string) string { return frame(id(position), "google.api.HttpBody", data) }
	end := frame(endID(9), "stream.end", goodEnd)

	v := view.New(ended(body(2, `{"contentType":"text/csv","data":"YSxi"}`)+body(3, `{"contentType":"x/y","data":"Cg=="}`), body(4, `{}`), end), raw)
	if got := open(v); got != "" || v.ContentType() != "" {
		t.Errorf("opening %q, type %q", got, v.ContentType())
	}
	if got := v.Beat(nil); len(got) != 0 {
		t.Errorf("beat %q", got)
	}
	expect(t, v, "a,b\n")
	if got := v.ContentType(); got != "text/csv" {
		t.Errorf("type %q", got)
	}
	expectEnd(t, v)

	for name, s := range map[string]*stream{
		"error":       ended(frame(endID(9), "stream.end", badEnd)),
		"reset":       ended(frame(id(2), "stream.reset", `{"reason":"expired"}`), end),
		"undecodable": ended(undecodable, end),
		"busy":        ended(busy),
		"gone":        ended(),
		"not base64":  ended(body(2, `{"data":"*"}`), end),
		"no string":   ended(body(2, `{"data":1}`), end),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := view.New(s, raw)
			open(v)
			expectCut(t, v)
			if _, err := v.Leave(nil, ""); err == nil {
				t.Error("left cleanly")
			}
		})
	}

	for data, want := range map[string]string{
		`{"data":"YQ=="}`: "application/octet-stream", `{"contentType":"not a type","data":"YQ=="}`: "application/octet-stream",
		`{"contentType":"text/plain; charset=utf-8"}`: "text/plain; charset=utf-8",
	} {
		v := view.New(batches(body(2, data)), raw)
		open(v)
		_, _ = v.Next(1)
		if got := v.ContentType(); got != want {
			t.Errorf("%s: type %q, want %q", data, got, want)
		}
	}
}
