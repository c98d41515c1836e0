package eventlogtest

import (
	"sync"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
)

// News is a watcher for any number of readers that wait each by itself.
type News struct {
	mu      sync.Mutex
	changed chan struct{} // nil while nobody waits
}

// Watch watches a log, for as long as there is one.
func Watch(l eventlog.Topic) *News {
	n := &News{}
	l.Watch(n)
	return n
}

// Changed wakes who waits.
func (n *News) Changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// Next returns a channel that is closed at the next change. A reader takes it before it reads.
func (n *News) Next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed
}
