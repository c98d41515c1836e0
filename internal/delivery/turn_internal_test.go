package delivery

import (
	"io"
	"testing"
	"time"
)

// TestABeatComesBetweenFramesOnly: a connection whose turn ended behind a write, before its source was told of that, is not
// quiet when a beat is due. A beat there would have the source repeat what was written.
func TestABeatComesBetweenFramesOnly(t *testing.T) {
	m := NewMemory()
	m.Size = 1 << 30
	d := NewIn(Config{Heartbeat: time.Second, WriteTimeout: time.Hour, MaxAge: time.Hour}, m)
	p, _ := m.newPoller()
	s := newShard(d, p)
	end := m.pair()
	fd, _, _ := m.detach(end.pipe.ends[1])
	src := &blocks{left: 10}
	c := &conn{token: token{fd: int32(fd)}, shard: s, src: src, owner: nobody{}, until: never, beatAt: d.config.Heartbeat, heap: -1}
	s.open.Add(1)
	d.open.Add(1)
	s.conns[c.fd] = c
	s.schedule(c)
	for !c.ended {
		more := s.serve(c)
		if !c.ended && !more {
			t.Fatal("waits")
		}
		s.now += 2 * time.Second // everything else takes long
		s.expire()
	}
	if src.beats != 0 {
		t.Errorf("%d beats between blocks", src.beats)
	}
	got, err := io.ReadAll(end)
	if err != nil {
		t.Error(err)
	}
	if len(got) != 10*blockSize {
		t.Errorf("the client got %d bytes, want %d", len(got), 10*blockSize)
	}
	for i := range got {
		if got[i] != 'a'+byte(i/blockSize) {
			t.Fatalf("byte %d is %q", i, got[i])
		}
	}
}

const blockSize = 200 << 10

// blocks is a source of some blocks, all of which are there.
type blocks struct {
	Source
	left, done int
	beats      int
}

func (b *blocks) Next(int) ([]byte, error) {
	if b.left == b.done {
		return nil, io.EOF
	}
	block := make([]byte, blockSize)
	for i := range block {
		block[i] = 'a' + byte(b.done)
	}
	return block, nil
}
func (b *blocks) Written()               { b.done++ }
func (b *blocks) Topic() Topic           { return nil }
func (b *blocks) Ageless() bool          { return true }
func (b *blocks) Beat(dst []byte) []byte { b.beats++; return append(dst, ":\n\n"...) }
