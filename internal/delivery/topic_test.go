package delivery_test

import (
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/delivery"
)

// place is a topic that readers come to and leave.
type place struct {
	lock     sync.Mutex
	watchers []interface{ Changed() }
	watch    func() // called by the first Watch, before it watches
}

func (p *place) Watch(w interface{ Changed() }) {
	if watch := p.watch; watch != nil {
		p.watch = nil
		watch()
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	p.watchers = append(p.watchers, w)
}

func (p *place) Unwatch(w interface{ Changed() }) {
	p.lock.Lock()
	defer p.lock.Unlock()
	i := slices.Index(p.watchers, w)
	p.watchers = slices.Delete(p.watchers, i, i+1)
}

// tell says that there is something new, and returns to how many it did.
func (p *place) tell() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, w := range p.watchers {
		w.Changed()
	}
	return len(p.watchers)
}

// traveller is a source that says one frame at each place where it is allowed to, and goes on to the next.
type traveller struct {
	*source
	places []*place

	mu      sync.Mutex
	at      int
	allowed int  // how many frames there are
	wait    bool // at the place it comes to next, although its frame may be there
}

func (tr *traveller) allow(n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.allowed += n
}

func (tr *traveller) Topic() delivery.Topic {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.at == len(tr.places) || tr.places[tr.at] == nil {
		return nil
	}
	return tr.places[tr.at]
}

func (tr *traveller) Next(int) ([]byte, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch {
	case tr.at == len(tr.places):
		return nil, io.EOF
	case tr.at == tr.allowed || tr.wait:
		tr.wait = false
		return nil, nil
	default:
		return []byte{byte('a' + tr.at), '\n', '\n'}, nil
	}
}

func (tr *traveller) Written() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.at++
	tr.wait = true
}

// TestTopicsThatChange: a reader is woken by what it waits for now, and by nothing that it has left.
func TestTopicsThatChange(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		a, b := &place{}, &place{}
		tr := &traveller{source: newSource(), places: []*place{a, b, a, nil}}
		began := time.Now()
		c := serve(t, tr, o, get).opened()
		synctest.Wait()
		if n := b.tell(); n != 0 {
			t.Errorf("%d watch where nobody is yet", n)
		}
		for i, at := range []*place{a, b} {
			tr.allow(1)
			if n := at.tell(); n != 1 {
				t.Fatalf("%d watch the place, want 1", n)
			}
			c.expect(string(rune('a'+i)) + "\n\n")
			synctest.Wait()
			if n := at.tell(); n != 0 {
				t.Fatalf("%d watch the place that was left", n)
			}
		}
		tr.allow(2) // the last one has no topic: nothing is waited for any more
		a.tell()
		c.expectEnd("c\n\nd\n\n", true)
		if n := a.tell() + b.tell(); n != 0 {
			t.Errorf("%d watch although nobody is left", n)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestWhatComesWhileATopicIsChosen: between the look at a source and the watch on its topic nothing is lost.
func TestWhatComesWhileATopicIsChosen(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		a, b := &place{}, &place{}
		tr := &traveller{source: newSource(), places: []*place{a, b}}
		a.watch = func() { tr.allow(1) }
		b.watch = func() { tr.allow(1) }
		began := time.Now()
		serve(t, tr, o, get).opened().expectEnd("a\n\nb\n\n", true)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestReadersOfOneTopic share one watch on it, which ends with the last of them; the next one has another.
func TestReadersOfOneTopic(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		o.Shards = 1
		w := newWorld(t, o)
		at := &place{}
		for range 3 {
			var readers []*traveller
			var clients []*client
			for range 5 {
				tr := &traveller{source: newSource(), places: []*place{at}}
				readers = append(readers, tr)
				clients = append(clients, w.connect(tr, get).opened())
				synctest.Wait()
			}
			for i, c := range clients {
				if n := at.tell(); n != 1 {
					t.Fatalf("%d watches, want 1", n)
				}
				readers[i].allow(1)
				at.tell()
				c.expectEnd("a\n\n", true)
			}
			if n := at.tell(); n != 0 {
				t.Fatalf("%d watches are left", n)
			}
		}
	})
}

// TestSourceWithoutTopic: what it has is sent, however much that is, and nothing is waited for.
func TestSourceWithoutTopic(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		src := newSource()
		for range 20 {
			src.frames = append(src.frames, []byte(big))
		}
		src.ended = true
		c := serve(t, &homeless{src}, o, get).opened()
		for range 20 {
			c.expect(big)
		}
		c.expectEnd("", true)
	})
}

type homeless struct{ *source }

func (homeless) Topic() delivery.Topic { return nil }

// TestMuchAtOnce: who has much to say shares with others of the same topic.
func TestMuchAtOnce(t *testing.T) {
	onBothPaths(t, func(t *testing.T, o settings) {
		o.Shards, o.size = 1, 4<<20
		w := newWorld(t, o)
		src := newSource()
		clients := make([]*client, 5)
		for i := range clients {
			clients[i] = w.connect(&reader{source: src}, get).opened()
		}
		src.change(func() {
			for range 100 {
				src.frames = append(src.frames, []byte(big))
			}
			src.ended = true
		})
		for _, c := range clients {
			for range 100 {
				c.expect(big)
			}
			c.expectEnd("", true)
		}
	})
}
