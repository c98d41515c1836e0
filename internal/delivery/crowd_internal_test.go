package delivery

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestCrowds: however members come and go and changes fall together, each member sees the last change of what it waits for.
func TestCrowds(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) { // which tells when somebody waits for ever
			topics := [2]*topic{newTopic(), newTopic()}
			var crowds crowds
			var work sync.WaitGroup
			for range 5*atOnce + 3 {
				work.Go(func() { visit(&crowds, topics) })
			}
			for _, topic := range topics {
				work.Go(topic.countToLast)
			}
			work.Wait()
			if n := len(crowds.of) + len(topics[0].watchers) + len(topics[1].watchers); n != 0 {
				t.Errorf("%d crowds and watches are left", n)
			}
		})
	}
}

// visit waits until both topics have counted to the end, now with the one and now with the other.
func visit(crowds *crowds, topics [2]*topic) {
	src := &visitor{}
	s := newServing(nil, nil, src, Options{})
	defer crowds.leave(s)
	for seen := 0; seen < len(topics); {
		src.at = topics[seen]
		if rand.IntN(10) == 0 {
			src.at = topics[rand.IntN(len(topics))]
		}
		switch {
		case topics[seen].count.Load() == last:
			seen++
		case rand.IntN(10) == 0:
			crowds.leave(s)
		case crowds.follow(s):
		case src.at == topics[seen]:
			<-s.roused
		}
	}
}

const last = 300

// visitor is a source that waits for one topic or another.
type visitor struct {
	Source
	at *topic
}

func (v *visitor) Topic() Topic { return v.at }

// topic counts, and tells who watches.
type topic struct {
	count atomic.Int64

	mu       sync.Mutex
	watchers map[interface{ Changed() }]bool
}

func newTopic() *topic { return &topic{watchers: map[interface{ Changed() }]bool{}} }

func (t *topic) Watch(w interface{ Changed() }) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[w] = true
}

func (t *topic) Unwatch(w interface{ Changed() }) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.watchers, w)
}

func (t *topic) countToLast() {
	for range last {
		t.count.Add(1)
		t.mu.Lock()
		for w := range t.watchers {
			w.Changed()
		}
		t.mu.Unlock()
		for range rand.IntN(50) {
			runtime.Gosched()
		}
	}
}
