package delivery_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// big is more than a connection in memory holds.
var big = strings.Repeat("0123456789abcde\n", 1<<10)

func TestClientsWayToLeave(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"closes":      func(c *client) { _ = c.Close() },
		"half-closes": func(c *client) { _ = c.CloseWrite() },
		"resets":      func(c *client) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		for _, stuck := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				onBothPaths(t, func(t *testing.T, o settings) {
					src := newSource()
					c := serve(t, src, o, get).opened()
					if stuck {
						src.add(big)
						synctest.Wait()
					}
					began := time.Now()
					leave(c)
					if err := <-c.result; err == nil {
						t.Error("nobody says that the client has gone")
					}
					if o.goroutines && stuck && name == "half-closes" {
						return // a goroutine that writes looks at nothing else
					}
					if took := time.Since(began); took != 0 {
						t.Errorf("it was noticed after %v", took)
					}
				})
			})
		}
	}
}

// TestClientThatLeftBefore: it is gone by the time that a shard gets to know the connection.
func TestClientThatLeftBefore(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		src.opened = make(chan struct{})
		c := serve(t, src, o, get)
		synctest.Wait() // until Opening
		_ = c.CloseWrite()
		close(src.opened)
		if err := <-c.result; err == nil {
			t.Error("nobody says that the client has gone")
		}
	})
}

// TestNewsOfOthers: descriptors are used again, and what was told of one that left is none of the next one's.
func TestNewsOfOthers(t *testing.T) {
	onShard(t, func(t *testing.T, o settings) {
		o.Shards = 1
		w := newWorld(t, o)
		for range 5 {
			src := newSource()
			c := w.connect(src, get).opened()
			src.add(big)
			c.expect(big) // which needs room, and again
			synctest.Wait()
			w.network.TellAgain() // that those before have left
			synctest.Wait()
			src.add("one\n\n")
			c.expect("one\n\n")
			_ = c.Close()
			if err := <-c.result; err == nil {
				t.Error("nobody says that the client has gone")
			}
		}
	})
}

func TestKickedBefore(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		kicked := make(chan struct{})
		close(kicked)
		o.Kicked, o.KickReason = kicked, "limit"
		src := newSource()
		src.add("one\n\n")
		c := serve(t, src, o, get).opened()
		// What is there already may go out with the head, or not at all; either way once.
		rest, err := io.ReadAll(c.reader)
		if got := strings.TrimPrefix(string(rest), "one\n\n"); got != "leave(limit)\n\n" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		if err := <-c.result; err != nil {
			t.Error(err)
		}
	})
}

func TestKickedWhileStuck(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		kicked := make(chan struct{})
		o.Kicked, o.KickReason = kicked, "limit"
		src := newSource()
		c := serve(t, src, o, get).opened()
		src.add(big)
		src.add("never\n\n")
		synctest.Wait()
		close(kicked)
		synctest.Wait()
		c.expectEnd(big+"leave(limit)\n\n", true)
	})
}

func TestKickedAfterTheEnd(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		kicked := make(chan struct{})
		o.Kicked = kicked
		src := newSource()
		c := serve(t, src, o, get).opened()
		src.end()
		c.expectEnd("", true)
		close(kicked)
		synctest.Wait()
	})
}

func TestOutageWhileStuck(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get).opened()
		src.add(big)
		synctest.Wait()
		src.change(func() { src.waiting, src.outage = []byte("waiting\n\n"), 7 })
		synctest.Wait()
		c.expect(big + "waiting\n\n")
		src.change(func() { src.outage = 8 })
		c.expect("waiting\n\n")
		src.end()
		c.expectEnd("", true)
	})
}

// TestAgeWhileStuck: the end that its age asks for comes behind what was begun.
func TestAgeWhileStuck(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		o.MaxAge, o.WriteTimeout = 10*time.Second, time.Minute
		src := newSource()
		c := serve(t, src, o, get).opened()
		src.add(big)
		time.Sleep(30 * time.Second)
		c.expectEnd(big+"leave()\n\n", true)
	})
}

// TestWhatCannotBeEndedWellIsReset: the client must not take it for an end.
func TestWhatCannotBeEndedWellIsReset(t *testing.T) {
	t.Run("Leave", func(t *testing.T) {
		onBothPaths(t, func(t *testing.T, o settings) {
			src := newSource()
			src.leaveErr = errors.New("cannot say so")
			o.MaxAge = time.Second
			serve(t, src, o, get).opened().expectEnd("", false)
		})
	})
	t.Run("Next", func(t *testing.T) {
		onBothPaths(t, func(t *testing.T, o settings) {
			src := newSource()
			c := serve(t, src, o, get).opened()
			src.change(func() { src.nextErr = errors.New("cannot go on") })
			c.expectEnd("", false)
		})
	})
	t.Run("Next at once", func(t *testing.T) {
		onBothPaths(t, func(t *testing.T, o settings) {
			src := newSource()
			src.nextErr = errors.New("cannot go on")
			serve(t, src, o, get).opened().expectEnd("", false)
		})
	})
}

func TestLeavingInSilence(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		src.mute = true
		o.MaxAge = time.Second
		serve(t, src, o, get).opened().expectEnd("", true)
	})
}

// TestLeavingByInches: what is said at the end is taken in parts, too.
func TestLeavingByInches(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		o.MaxAge, o.size = time.Second, 3
		serve(t, newSource(), o, get).opened().expectEnd("leave()\n\n", true)
	})
}

// TestWriteTimeout: who takes something now and then is not given up, who takes nothing is, whatever came before.
func TestWriteTimeout(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get).opened()
		frame := strings.Repeat("x", 256<<10)
		src.add(frame)
		steps := 32 // each inside the timeout
		if o.goroutines {
			steps = 4 // for a goroutine it is a timeout for 64 KiB
		}
		for range steps {
			time.Sleep(o.WriteTimeout * 9 / 40)
			c.expect(frame[:4<<10])
		}
		began := time.Now()
		if err := <-c.result; err == nil {
			t.Error("not given up")
		}
		if took := time.Since(began); !o.goroutines && took != o.WriteTimeout {
			t.Errorf("given up %v after the last progress, want %v", took, o.WriteTimeout)
		}
		rest, err := io.ReadAll(c.reader)
		if err == nil || len(rest) > o.size+4<<10 {
			t.Errorf("%d bytes more, and then %v: want a reset", len(rest), err)
		}
		if src.written != 0 {
			t.Error("what was not written counts as written")
		}
	})
}

// TestWhoIsVerySlow: who takes so little that the kernel tells of no room is not given up either.
func TestWhoIsVerySlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options
		src := newSource()
		c := serve(t, src, o, get).opened()
		frame := strings.Repeat("x", 64<<10)
		src.add(frame)
		for range 60 {
			time.Sleep(o.WriteTimeout * 9 / 10)
			if _, err := io.ReadFull(c.End, make([]byte, 1)); err != nil { // past the reader, which takes what there is
				t.Fatal(err)
			}
		}
		c.expect(frame[60:])
		src.end()
		c.expectEnd("", true)
	})
}

func TestBigFrames(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get).opened()
		for i := range 5 {
			frame := strings.Repeat(string(rune('a'+i)), 1<<20) + "\n\n"
			src.add(frame)
			c.expect(frame)
		}
		src.end()
		c.expectEnd("", true)
	})
}

// TestWhatFollowsTheRequest means nothing, and does not make the end a reset.
func TestWhatFollowsTheRequest(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		c := serve(t, src, o, get+get).opened()
		_, _ = io.WriteString(c, get)
		src.add("one\n\n")
		c.expect("one\n\n")
		_, _ = io.WriteString(c, get)
		if o.goroutines {
			synctest.Wait() // until it is read
		}
		src.end()
		c.expectEnd("", true)
	})
}

// TestPanics: a source that panics costs its own connection; another one of the same shard goes on.
func TestPanics(t *testing.T) {
	for _, method := range []string{"Opening", "Next", "Written", "Short", "Topic", "Watch", "Waiting", "Beat", "Leave"} {
		t.Run(method, func(t *testing.T) {
			onBothPaths(t, func(t *testing.T, o settings) {
				if o.goroutines && method == "Short" {
					return // it is not called
				}
				o.Shards, o.MaxAge, o.KickReason = 1, 30*time.Second, "limit"
				w := newWorld(t, o)
				healthy := newSource()
				healthy.ageless = true
				other := w.connect(healthy, get).opened()
				for _, later := range []bool{false, true} {
					src := newSource()
					bad := &panicking{source: src}
					if !later {
						bad.set(method)
						src.add(big)
					}
					c := w.connect(bad, get)
					if later {
						c.opened()
						bad.set(method)
						src.add(big)
					}
					if method != "Short" {
						go func() { _, _ = io.Copy(io.Discard, c) }()
					}
					if later && (method == "Opening" || method == "Topic" || method == "Watch") {
						_ = c.Close() // it is not called again
					}
					if err := <-c.result; err == nil {
						t.Errorf("later %v: no error", later)
					}
				}
				healthy.add("one\n\n")
				line := ""
				for line == "" || line == ":\n" || line == "\n" {
					line, _ = other.reader.ReadString('\n')
				}
				if line != "one\n" {
					t.Errorf("the other one reads %q", line)
				}
				healthy.end()
			})
		})
	}
}

// panicking is a source one of whose methods panics.
type panicking struct {
	*source
	mu     sync.Mutex
	method string
}

func (p *panicking) set(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.method = method
}

func (p *panicking) at(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.method == method {
		panic("planted in " + method)
	}
}

func (p *panicking) Opening(dst []byte, retry time.Duration) []byte {
	p.at("Opening")
	return p.source.Opening(dst, retry)
}

func (p *panicking) Next(limit int) ([]byte, error) { p.at("Next"); return p.source.Next(limit) }
func (p *panicking) Written()                       { p.at("Written"); p.source.Written() }
func (p *panicking) Short(frames []byte, n int) []byte {
	p.at("Short")
	return p.source.Short(frames, n)
}
func (p *panicking) Topic() delivery.Topic          { p.at("Topic"); return p }
func (p *panicking) Watch(w interface{ Changed() }) { p.at("Watch"); p.place.Watch(w) }
func (p *panicking) Waiting() ([]byte, int)         { p.at("Waiting"); return p.source.Waiting() }
func (p *panicking) Beat(dst []byte) []byte         { p.at("Beat"); return p.source.Beat(dst) }
func (p *panicking) Leave(dst []byte, reason string) ([]byte, error) {
	p.at("Leave")
	return p.source.Leave(dst, reason)
}
