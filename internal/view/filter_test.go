package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// retention with quarters of 25 s, 5 events and 1,000 bytes: only the last two say anything here, since a bookmark is
// sent after 10 s anyway.
var retention = schema.Retention{Age: 100 * time.Second, Events: 20, Bytes: 4000}

// filtered is a view that shows trades.
func filtered(s *stream, c *clock, form view.Representation) *view.View {
	v := view.New(s, view.Options{Representation: form, Events: []string{"trade", "quote"}, Retention: retention, Now: c.now})
	v.Opening(nil, time.Second)
	return v
}

func prices(from, to int) string {
	var b strings.Builder
	for p := from; p <= to; p++ {
		b.WriteString(price(p))
	}
	return b.String()
}

func TestFilter(t *testing.T) {
	t.Parallel()
	s := ended(price(2)+trade(3)+price(4), trade(5), price(6), frame(endID(7), "stream.end", goodEnd))
	v := filtered(s, newClock(), view.SSE)
	expect(t, v, trade(3))
	expect(t, v, trade(5))
	if s.written != 2 {
		t.Errorf("%d batches count as written, want the 2 that were", s.written)
	}
	expect(t, v, frame(endID(7), "stream.end", goodEnd))
	if s.written != 4 {
		t.Errorf("%d batches count as written, want the hidden one too", s.written)
	}
	expectEnd(t, v)
}

// TestHiddenIsNotWrittenBeforeItIs: what stands before something visible has not been had until that was written.
func TestHiddenIsNotWrittenBeforeItIs(t *testing.T) {
	t.Parallel()
	s := batches(price(2), price(3)+trade(4))
	v := filtered(s, newClock(), view.SSE)
	if b, err := v.Next(1000); err != nil || string(b) != trade(4) {
		t.Fatalf("%q, %v", b, err)
	}
	if s.written != 1 || !s.unwritten {
		t.Error("a batch counts as written that was not")
	}
	v.Beat(nil)
	v.Written()
	if s.written != 2 {
		t.Error("what was written does not count")
	}
}

func TestBookmarkAfterTime(t *testing.T) {
	t.Parallel()
	for _, form := range []view.Representation{view.SSE, view.NDJSON, view.Plain, view.JSON, view.Raw} {
		want := map[view.Representation]string{
			view.SSE:    bookmark(4),
			view.NDJSON: `{"id":"` + id(4) + `","event":"stream.bookmark","data":{}}` + "\n",
		}[form]
		c := newClock()
		v := filtered(batches(prices(2, 3), price(4), ""), c, form)
		expect(t, v, "")
		c.pass(9999 * time.Millisecond)
		expect(t, v, "")
		c.pass(time.Millisecond)
		expect(t, v, want)
		expect(t, v, "") // the cursor has moved
		c.pass(time.Hour)
		expect(t, v, "")
	}
}

func TestBookmarkInABeat(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := batches(price(2))
	v := filtered(s, c, view.SSE)
	expect(t, v, "")
	c.pass(8 * time.Second)
	if got := string(v.Beat(nil)); got != ":\n\n" {
		t.Errorf("early: %q", got)
	}
	c.pass(2 * time.Second)
	s.waiting, s.outage = frame("", "stream.waiting", "{}"), 1
	if got := string(v.Beat(nil)); got != s.waiting+bookmark(2) {
		t.Errorf("due: %q", got)
	}
}

// TestWhatIsShownMovesTheCursor: so that no bookmark is needed.
func TestWhatIsShownMovesTheCursor(t *testing.T) {
	t.Parallel()
	c := newClock()
	v := filtered(batches(prices(2, 5), "", trade(6), price(7), "", frame(id(8), "stream.bookmark", "{}"), price(9)), c, view.SSE)
	expect(t, v, "")
	c.pass(9 * time.Second)
	expect(t, v, trade(6))
	c.pass(9 * time.Second)
	expect(t, v, "")
	expect(t, v, bookmark(8)) // the stream's own
	c.pass(9 * time.Second)
	expect(t, v, "")
	c.pass(time.Second)
	expect(t, v, bookmark(9))
}

func TestBookmarkAfterHiddenEvents(t *testing.T) {
	t.Parallel()
	v := filtered(batches(prices(2, 5), "", price(6), "", prices(7, 11)+trade(12)+prices(13, 17), prices(18, 21)), newClock(), view.SSE)
	expect(t, v, "")
	expect(t, v, bookmark(6))
	expect(t, v, "")
	expect(t, v, trade(12)+bookmark(17)) // five of those behind the trade
	expect(t, v, "")
}

func TestBookmarkAfterHiddenBytes(t *testing.T) {
	t.Parallel()
	large := func(position, size int) string {
		return frame(id(position), "price", strings.Repeat("x", size))
	}
	v := filtered(batches(large(2, 920), "", large(3, 1)), newClock(), view.SSE)
	expect(t, v, "")
	expect(t, v, bookmark(3)) // the frames' other fields count as well
	if v = filtered(batches(large(2, 800), large(3, 1)), newClock(), view.SSE); next(t, v) != "" {
		t.Error("early")
	}
}

func TestShortRetention(t *testing.T) {
	t.Parallel()
	c := newClock()
	v := view.New(batches(price(2), "", "", price(3), ""), view.Options{
		Events: []string{"trade"}, Now: c.now, Retention: schema.Retention{Age: 2 * time.Second, Events: 10_000, Bytes: 8 << 20},
	})
	open(v)
	expect(t, v, "")
	c.pass(499 * time.Millisecond)
	expect(t, v, "")
	c.pass(time.Millisecond)
	expect(t, v, bookmark(3))
}

// TestBookmarkBeforeEveryClose: so that who comes back does not get what was hidden once more.
func TestBookmarkBeforeEveryClose(t *testing.T) {
	t.Parallel()
	v := filtered(batches(price(2)), newClock(), view.SSE)
	expect(t, v, "")
	if got, err := v.Leave([]byte("x"), ""); err != nil || string(got) != "x"+bookmark(2) {
		t.Errorf("leaving: %q, %v", got, err)
	}
	v = filtered(batches(price(2)), newClock(), view.SSE)
	expect(t, v, "")
	if got, err := v.Leave(nil, "limit"); err != nil || !strings.HasPrefix(string(got), bookmark(2)+"retry: ") {
		t.Errorf("leaving for a reason: %q, %v", got, err)
	}
	v = filtered(batches(price(2)+busy), newClock(), view.SSE)
	expect(t, v, bookmark(2)+busy)
	v = filtered(ended(price(2)), newClock(), view.SSE)
	expect(t, v, bookmark(2))
	expectEnd(t, v)
	v = filtered(ended(price(2)), newClock(), view.JSON)
	expect(t, v, `{"error":{"code":14,"message":"this response has ended and the stream has not: ask again","details":[]}}`+"\n")
	expectEnd(t, v)
}

func TestPoll(t *testing.T) {
	t.Parallel()
	poll := func(s *stream, form view.Representation, events ...string) *view.View {
		v := view.New(s, view.Options{Representation: form, Poll: true, Events: events, Retention: retention, Now: newClock().now})
		open(v)
		return v
	}
	v := poll(batches("", price(2)+price(3), price(4)), view.SSE)
	expect(t, v, "")
	expect(t, v, price(2)+price(3))
	if got, err := v.Leave(nil, "drain"); err != nil || len(got) != 0 {
		t.Errorf("leaving behind the end: %q, %v", got, err)
	}
	expectEnd(t, v)

	v = poll(batches(price(2), price(3)+trade(4)+price(5), trade(6)), view.SSE, "trade")
	expect(t, v, trade(4)+bookmark(5))
	expectEnd(t, v)

	for _, shown := range []string{undecodable, frame(id(2), "stream.reset", `{}`), frame(endID(2), "stream.end", goodEnd)} {
		v = poll(batches(shown, trade(5)), view.SSE, "trade")
		expect(t, v, shown)
		expectEnd(t, v)
	}
	// The bridge's own frames that are not of the log are not what a poll waits for.
	v = poll(batches(bookmark(2), price(3)), view.NDJSON)
	expect(t, v, `{"id":"`+id(2)+`","event":"stream.bookmark","data":{}}`+"\n")
	expect(t, v, `{"id":"`+id(3)+`","event":"price","data":{"sequence":3}}`+"\n")
	expectEnd(t, v)

	v = poll(batches(price(2), price(3)), view.JSON)
	expect(t, v, `{"result":{"sequence":2}}`+"\n"+`{"error":{"code":14,"message":"this response has ended and the stream has not: ask again","details":[]}}`+"\n")
	expectEnd(t, v)
	v = poll(batches(price(2)+frame(endID(3), "stream.end", goodEnd)), view.JSON)
	expect(t, v, `{"result":{"sequence":2}}`+"\n")
	expectEnd(t, v)
}
