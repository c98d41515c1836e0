package delivery_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/view"
)

// TestCutAtEveryByte: a client that takes k bytes at a time, for every k, gets each byte once and in order: of a log's
// frames, of frames made for one reader, and of a source that knows nothing of frames.
func TestCutAtEveryByte(t *testing.T) {
	for name, source := range map[string]func(*feed.Subscription) delivery.Source{
		"log":  direct,
		"view": plain,
		"own":  func(s *feed.Subscription) delivery.Source { return unframed{reading{view.Direct{Stream: s}, s}} },
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 900; size++ {
				if size > 64 && testing.Short() {
					size += 10
				}
				onShard(t, func(t *testing.T, o settings) { cutAt(t, o, size, source) })
				if t.Failed() {
					t.Fatalf("at %d bytes", size)
				}
			}
		})
	}
}

func cutAt(t *testing.T, o settings, size int, source func(*feed.Subscription) delivery.Source) {
	o.Shards = 1
	w := newWorld(t, o)
	stream := newCalls(t, plenty).call(1)
	connect := func(size int) *client {
		w.network.Size = size
		c := w.connect(source(stream.subscribe()), get)
		c.head()
		if _, err := c.untilBlank(); err != nil { // stream.open, which is different for each
			t.Fatal(err)
		}
		return c
	}
	whole, cut := connect(64<<10), connect(size)
	synctest.Wait()
	for i, batch := range [][]int{{1}, {100, 2, 50}, {300}, {1, 1, 1, 1, 200}} {
		for n, size := range batch {
			stream.messages <- message(10*i+n, size)
		}
		synctest.Wait()
	}
	close(stream.messages)
	want, err := io.ReadAll(whole.reader)
	if err != nil || bytes.Count(want, []byte("\n\n")) != 11 {
		t.Fatalf("%d frames, %v:\n%s", bytes.Count(want, []byte("\n\n")), err, want)
	}
	cut.expectEnd(string(want), true)
	<-whole.result
}

// untilBlank reads one frame.
func (c *client) untilBlank() (frame string, err error) {
	for {
		line, err := c.reader.ReadString('\n')
		if frame += line; err != nil || line == "\n" {
			return frame, err
		}
	}
}

// TestWhoFallsOutWhileStuck: who is stuck within a frame gets the rest of it first, and is told then what it has missed,
// wherever the frame is cut and however many frames were to be written with it.
func TestWhoFallsOutWhileStuck(t *testing.T) {
	for size := 500; size < 3000; size += 17 {
		onShard(t, func(t *testing.T, o settings) {
			o.size = size
			const kept, first, second = 5, 4, 50
			stream := newCalls(t, schema.Retention{Age: time.Hour, Events: kept, Bytes: 1 << 20}).call(1)
			c := newWorld(t, o).connect(direct(stream.subscribe()), get)
			synctest.Wait()
			for i := range first + second {
				stream.messages <- message(i, 700)
				if i == first-1 {
					synctest.Wait()
				}
			}
			close(stream.messages)
			synctest.Wait()
			c.head()
			told := c.follow(t, first+second)
			if told == 0 {
				t.Error("the reader is not told that anything is missing")
			}
		})
		if t.Failed() {
			t.Fatalf("with room for %d bytes", size)
		}
	}
}

// follow reads events to the end of the stream and counts: after a reset as many are missing as it says. It returns how
// many resets there were.
func (c *client) follow(t *testing.T, n int) (resets int) {
	t.Helper()
	parser := sse.NewParser(c.reader, 64<<20)
	next := 0
	for {
		e, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case "stream.reset":
			var missed int
			_, after, _ := strings.Cut(e.Data, `"missed":`)
			if _, err := fmt.Sscanf(strings.Trim(after, `"`), "%d", &missed); err != nil {
				t.Fatalf("reset says %s", e.Data)
			}
			next += missed
			resets++
		case "stream.end":
			if next != n {
				t.Errorf("the stream ended before event %d, want %d", next, n)
			}
		case "stream.open":
		default:
			if want := fmt.Sprintf("%d ", next); !strings.HasPrefix(e.Data, want) {
				t.Fatalf("event %.10q…, want %q", e.Data, want)
			}
			next++
		}
	}
	if err := <-c.result; err != nil {
		t.Error(err)
	}
	return resets
}

// TestStuckReadersHoldLittle: of what was to be written to a reader that is stuck only the rest of the frame is kept, as a
// copy where it is small, so that the log's memory is the log's alone.
func TestStuckReadersHoldLittle(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		o.Shards = 1
		w := newWorld(t, o)
		stream := newCalls(t, plenty).call(1)
		clients := make([]*client, 20)
		for i := range clients {
			w.network.Size = 2000 + 100*i
			clients[i] = w.connect(direct(stream.subscribe()), get)
			synctest.Wait()
		}
		for i := range 100 {
			stream.messages <- message(i, 1000)
			if i%7 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		for _, held := range w.delivery.Held() {
			if held == 0 || held > 1100 {
				t.Errorf("a stuck reader holds %d bytes, want no more than a frame", held)
			}
		}
		close(stream.messages)
		for _, c := range clients {
			c.head()
			c.follow(t, 100)
		}
	})
}

// TestWhatIsKeptIsACopy: whoever gives a few bytes to be written may use their memory for others as soon as they are stuck,
// and so does the shard with its own.
func TestWhatIsKeptIsACopy(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		o.Shards, o.MaxAge, o.Heartbeat = 1, 10*time.Second, time.Second
		w := newWorld(t, o)
		connect := func(size int, beat string, ageless bool) (*source, *client) {
			w.network.Size = size
			src := newSource()
			src.ageless, src.silent, src.beat = ageless, true, beat
			c := w.connect(src, get)
			c.head()
			return src, c
		}
		framing, frameTaker := connect(1, "", true)
		away, waiter := connect(1, "", true)
		_, beaten := connect(1, "beat\n\n", true)
		_, leaver := connect(1, "", false)
		connect(64<<10, "another one's beat\n\n", true)
		frame, waiting := []byte("a frame of its own\n\n"), []byte("waiting\n\n")
		framing.change(func() { framing.frames = [][]byte{frame} })
		away.change(func() { away.waiting, away.outage = waiting, 1 })
		synctest.Wait()
		for _, b := range [][]byte{frame, waiting} {
			for i := range b {
				b[i] = 'X'
			}
		}
		time.Sleep(15 * time.Second) // while others beat
		frameTaker.expect("a frame of its own\n\n")
		waiter.expect("waiting\n\n")
		beaten.expect("beat\n\n")
		leaver.expectEnd("leave()\n\n", true)
	})
}
