package delivery_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

var firstSeed = flag.Uint64("seed", 0, "the first schedule that TestSchedules plays; 0 draws one")

// board is a stream that any number of readers read from its beginning.
type board struct {
	place
	mu    sync.Mutex
	bytes []byte
	ended bool
	next  *board // readers go on there after the end; nil: they have ended
}

func (b *board) change(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	b.tell()
}

func (b *board) add(frame string) { b.change(func() { b.bytes = append(b.bytes, frame...) }) }
func (b *board) end()             { b.change(func() { b.ended = true }) }

// boardReader is one reader of boards. It is used by one goroutine after the other, as any source.
type boardReader struct {
	source
	on      *board
	at      int
	pending int
}

func (r *boardReader) Opening(dst []byte, _ time.Duration) []byte { return dst }
func (r *boardReader) Topic() delivery.Topic                      { return &r.on.place }
func (r *boardReader) Waiting() ([]byte, int)                     { return nil, 0 }
func (r *boardReader) Beat(dst []byte) []byte                     { return append(dst, "beat\n\n"...) }

func (r *boardReader) Next(limit int) ([]byte, error) {
	for {
		r.on.mu.Lock()
		there, ended := r.on.bytes, r.on.ended
		r.on.mu.Unlock()
		switch {
		case r.at < len(there):
			r.pending = len(there)
			if r.pending > r.at+limit {
				r.pending = bytes.LastIndexByte(there[:r.at+limit], '\n') + 1
			}
			return there[r.at:r.pending], nil
		case !ended:
			return nil, nil
		case r.on.next == nil:
			return nil, io.EOF
		}
		r.on, r.at, r.pending = r.on.next, 0, 0
	}
}

func (r *boardReader) Written() { r.at = r.pending }

// Short keeps to the line that was begun.
func (r *boardReader) Short(frames []byte, n int) []byte {
	end := bytes.IndexByte(frames[n:], '\n') + 1
	if end == 0 {
		return frames[n:]
	}
	r.pending = r.at + n + end
	return frames[n : n+end]
}

// fate is how a client ends.
type fate int

const (
	stays fate = iota
	leaves
	isKicked
)

// schedule is one seed's: readers of a few boards that come while others append, stop reading, go on, leave and are kicked.
// No time passes: if any does, somebody waits for a deadline who should have been woken.
type schedule struct {
	t      *testing.T
	o      settings
	random *rand.Rand // used by the test's goroutine alone
	boards []*board
	// appended is closed when nothing is appended any more.
	appended chan struct{}
}

// TestSchedules: every reader reaches the end, with each byte once and in order.
func TestSchedules(t *testing.T) {
	seed := *firstSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for range 10 {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			onBothPaths(t, func(t *testing.T, o settings) {
				s := &schedule{t: t, o: o, random: rand.New(rand.NewPCG(seed, 0)), appended: make(chan struct{})}
				s.play(false)
			})
		})
		seed++
	}
}

// TestSchedulesCutShort: whenever Shutdown comes, it resets who is left and leaves nothing behind.
func TestSchedulesCutShort(t *testing.T) {
	for range 10 {
		onShard(t, func(t *testing.T, o settings) {
			s := &schedule{t: t, o: o, random: rand.New(rand.NewPCG(rand.Uint64(), 0)), appended: make(chan struct{})}
			s.play(true)
		})
	}
}

func (s *schedule) play(cutShort bool) {
	const never = 1000 * time.Hour
	s.o.Heartbeat, s.o.MaxAge, s.o.WriteTimeout, s.o.KickReason = never, never, never, "limit"
	s.o.Shards = 1 + s.random.IntN(3)
	began := time.Now()
	w := newWorld(s.t, s.o)
	w.unsettled = cutShort
	for i := range 1 + s.random.IntN(5) {
		b := &board{}
		if i > 0 && s.random.IntN(2) == 0 {
			b.next = s.boards[s.random.IntN(i)]
		}
		s.boards = append(s.boards, b)
	}
	var clients, appenders sync.WaitGroup
	for range 2 {
		random := s.fork()
		appenders.Go(func() { s.appendSome(random) })
	}
	go func() {
		appenders.Wait()
		close(s.appended)
	}()
	for range 20 + s.random.IntN(60) {
		random := s.fork()
		w.network.Size = 1 + random.IntN(1000)
		c := &scheduled{
			schedule: s, random: random, board: s.boards[random.IntN(len(s.boards))], fate: fate(random.IntN(3)),
			kick: make(chan struct{}), cutShort: cutShort,
		}
		c.client = w.prepare(&boardReader{on: c.board})
		c.client.Kicked = c.kick
		w.dial(c.client, get)
		clients.Go(c.run)
		yield(s.random.IntN(5))
	}
	if cutShort {
		w.delivery.Shutdown(0)
	}
	<-s.appended
	for _, i := range s.random.Perm(len(s.boards)) {
		s.boards[i].end()
	}
	clients.Wait()
	if passed := time.Since(began); passed != 0 {
		s.t.Errorf("somebody was not woken: %v have passed", passed)
	}
}

// fork makes a random of its own for a goroutine.
func (s *schedule) fork() *rand.Rand { return rand.New(rand.NewPCG(s.random.Uint64(), 1)) }

func yield(times int) {
	for range times {
		runtime.Gosched()
	}
}

func (s *schedule) appendSome(random *rand.Rand) {
	for range 200 {
		b := s.boards[random.IntN(len(s.boards))]
		b.add(strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(200)) + "\n")
		yield(random.IntN(3))
	}
}

// scheduled is one client of a schedule.
type scheduled struct {
	*schedule
	client   *client
	random   *rand.Rand
	board    *board
	fate     fate
	kick     chan struct{}
	once     sync.Once // closes kick
	cutShort bool
}

// run reads until the end, or until its fate ends it.
func (c *scheduled) run() {
	kick := func() { c.once.Do(func() { close(c.kick) }) }
	defer kick() // too late, mostly
	var got []byte
	most := 1 << 30
	if c.fate != stays {
		most = c.random.IntN(5000)
	}
	for len(got) < most {
		b := make([]byte, 1+c.random.IntN(3000))
		n, err := c.client.reader.Read(b)
		if got = append(got, b[:n]...); err != nil {
			c.ended(got, err)
			return
		}
		switch c.random.IntN(10) {
		case 0:
			yield(300)
		case 1:
			<-c.appended
		}
	}
	if c.fate == isKicked {
		kick()
		rest, err := io.ReadAll(c.client.reader)
		c.ended(append(got, rest...), err)
		return
	}
	switch c.random.IntN(3) {
	case 0:
		_ = c.client.CloseWrite()
	case 1:
		_ = c.client.SetLinger(0)
	}
	_ = c.client.Close()
	<-c.client.result
}

// ended checks all that was read.
func (c *scheduled) ended(got []byte, err error) {
	told := <-c.client.result
	if err != nil && !errors.Is(err, io.EOF) {
		if !c.cutShort {
			c.t.Errorf("reset after %d bytes: %v, the owner was told %v", len(got), err, told)
		}
		return
	}
	if told != nil {
		c.t.Errorf("a clean end, and the owner was told %v", told)
	}
	_, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
	body, left := bytes.CutSuffix(body, []byte("leave(limit)\n\n"))
	var all []byte
	for b := c.board; b != nil; b = b.next {
		b.mu.Lock()
		all = append(all, b.bytes...)
		b.mu.Unlock()
	}
	switch {
	case !bytes.HasPrefix(all, body):
		c.t.Errorf("%d bytes are not what was sent", len(body))
	case left && c.fate != isKicked || !left && len(body) != len(all):
		c.t.Errorf("the stream ended after %d of %d bytes; left: %v", len(body), len(all), left)
	case len(body) > 0 && body[len(body)-1] != '\n':
		c.t.Error("it ended in the middle of a line")
	}
}
