package feed_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// take reads what there is as a client does that takes only n bytes of what Next returns first; meanwhile is called while
// it is stuck. It returns what it was written then.
func (r *reader) take(n int, meanwhile func()) (written []byte) {
	r.t.Helper()
	frames, err := r.Next(1 << 16)
	if err != nil || n >= len(frames) {
		r.t.Fatalf("%d bytes, %v; %d were to be taken", len(frames), err, n)
	}
	rest := r.Short(frames, n)
	written = append(bytes.Clone(frames[:n]), rest...)
	if len(rest) == 0 || !bytes.HasPrefix(frames[n:], rest) || !bytes.HasSuffix(written, []byte("\n\n")) {
		r.t.Fatalf("behind %d of %d bytes, %q is to be written", n, len(frames), rest)
	}
	if meanwhile != nil {
		meanwhile()
	}
	r.Written()
	r.parse(written)
	return written
}

// TestShort: who takes n bytes gets the rest of the frame that these end in, and then what follows, for every n.
func TestShort(t *testing.T) {
	for _, change := range []func(*schema.Stream){nil, shared(nil)} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, change)
			whole := w.subscribe(nil)
			c := <-w.backend.calls
			texts := []string{"one", "two", "three", strings.Repeat("four", 100), "five"}
			for _, text := range texts {
				c.steps <- text
			}
			close(c.steps)
			synctest.Wait()
			frames, _ := whole.Next(1 << 16)
			for n := range frames {
				r := w.subscribe(with(whole.lastID()))
				written := r.take(n, nil)
				if most := len(texts[3]) + 100; len(written)-n > most {
					t.Errorf("at %d: %d bytes are left to be written, want one frame", n, len(written)-n)
				}
				r.read()
				r.expect("open " + strings.Join(texts, " ") + " end:0")
				r.Close()
			}
			closing(whole)
		})
	}
}

// TestShortOfWhatIsNoRecord: what a reader alone is told is written whole, and only once.
func TestShortOfWhatIsNoRecord(t *testing.T) {
	t.Run("snapshot", func(t *testing.T) {
		for n := 0; n < 150; n += 7 {
			synctest.Test(t, func(t *testing.T) {
				w := items(t, starting(schema.StartLatestPerKey))
				first := w.join("")
				c := <-w.backend.calls
				c.send(wire("a", 1), wire("b", 2), wire("a", 3))
				r := w.join("")
				r.take(n, func() { c.send(wire("c", 4)) })
				r.read()
				if got := strings.Join(strings.Fields(strings.ReplaceAll(r.text(), "bookmark", "")), " "); !strings.HasSuffix(got, "b2 a3 c4") {
					t.Errorf("cut at %d: %q", n, got)
				}
				closing(first, r)
			})
		}
	})
	t.Run("reset", func(t *testing.T) {
		for n := range 30 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, shared(func(s *schema.Stream) { s.Retention.Events = 3 }))
				r := w.subscribe(nil)
				c := <-w.backend.calls
				c.send("1", "2", "3", "4", "5", "6")
				r.take(n, nil)
				r.read()
				r.expect("open reset:expired 4 5 6")
				closing(r)
			})
		}
	})
	t.Run("busy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, shared(nil))
			r := w.subscribe(nil)
			<-w.backend.calls
			synctest.Wait()
			go w.feed.Drain(time.Minute, time.Minute)
			time.Sleep(time.Minute + time.Second)
			r.take(5, nil)
			if !r.read() {
				t.Error("the reader is not sent away")
			}
			r.expect("open busy:drain")
			closing(r)
		})
	})
}

// TestShortAndOutOfRetention: what falls out of the log while a reader is stuck is missed exactly, whether that comes
// before Short or behind it.
func TestShortAndOutOfRetention(t *testing.T) {
	const kept, more = 4, 20
	for n := range 150 {
		for _, early := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, shared(func(s *schema.Stream) { s.Retention.Events = kept }))
				r := w.subscribe(nil)
				c := <-w.backend.calls
				c.send("1", "2", "3")
				send := func() {
					for i := range more {
						c.steps <- fmt.Sprint(4 + i)
					}
					synctest.Wait()
				}
				frames, _ := r.Next(1 << 16)
				n := n % len(frames)
				if early {
					send()
				}
				rest := r.Short(frames, n)
				if !early {
					send()
				}
				r.Written()
				r.parse(append(bytes.Clone(frames[:n]), rest...))
				r.read()
				had, missed := 0, 0
				for _, e := range r.events {
					switch e.Type {
					case "text":
						if had++; e.Data != fmt.Sprint(had+missed) {
							t.Errorf("event %s behind %d that were had and %d that were missed", e.Data, had-1, missed)
						}
					case "stream.reset":
						_, after, _ := strings.Cut(e.Data, `"missed":`)
						_, _ = fmt.Sscanf(strings.Trim(after, `"`), "%d", &missed)
					}
				}
				if missed == 0 || had+missed != 3+more {
					t.Errorf("cut at %d: %d events, %d missed, of %d: %s", n, had, missed, 3+more, r.text())
				}
				closing(r)
			})
		}
	}
}

// TestShortAtRandom: readers that are cut again and again get every event once and in order.
func TestShortAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			w := newWorld(t, shared(nil))
			readers := []*reader{w.subscribe(nil), w.subscribe(nil), w.subscribe(nil)}
			c := <-w.backend.calls
			sent, ended := 0, make([]bool, len(readers))
			for !ended[0] || !ended[1] || !ended[2] {
				i := random.IntN(len(readers) + 1)
				if i == len(readers) {
					switch {
					case sent < 200:
						c.steps <- fmt.Sprintf("%d-%0*d", sent, random.IntN(300), 0)
						sent++
					case sent == 200:
						close(c.steps)
						sent++
					}
					synctest.Wait()
					continue
				}
				r := readers[i]
				frames, err := r.Next(1 + random.IntN(3000))
				ended[i] = errors.Is(err, io.EOF)
				if len(frames) == 0 {
					continue
				}
				if n := random.IntN(len(frames) + 1); n < len(frames) {
					frames = append(bytes.Clone(frames[:n]), r.Short(frames, n)...)
				}
				r.Written()
				r.parse(frames)
			}
			for _, r := range readers {
				next := 0
				for _, e := range r.events {
					if e.Type != "text" {
						continue
					}
					if want := fmt.Sprintf("%d-", next); !strings.HasPrefix(e.Data, want) {
						t.Fatalf("seed %d: event %q, want %q…", seed, e.Data, want)
					}
					next++
				}
				if next != 200 {
					t.Errorf("seed %d: %d events, want 200", seed, next)
				}
				r.Close()
			}
		})
	}
}
