package eventlog

import "slices"

// Watcher is told of changes. One watcher stands for any number of readers: it is what makes an append cost the same
// whether ten readers are waiting or ten thousand.
type Watcher = interface {
	// Changed says that Read or what Wake is about may answer otherwise than before. It is called by whoever changes the
	// log, some time after the change, once for any number of changes; locks may be held. It must not wait, and must not
	// call the log.
	Changed()
}

// Topic is what a watcher watches. A *Log is one.
type Topic = interface {
	Watch(w Watcher)
	Unwatch(w Watcher)
}

// Watch has w told of every change from now on, until Unwatch.
func (l *Log) Watch(w Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(slices.Clip(l.watchers), w) // who tells reads the old list without the lock
}

// Unwatch takes back one Watch. Changed may be called a last time after it has returned.
func (l *Log) Unwatch(w Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.watchers, w); i >= 0 {
		l.watchers = slices.Concat(l.watchers[:i], l.watchers[i+1:])
	}
}

type watchers []Watcher

// tell says that the log has changed. It is called once the log's lock is released: who is told looks at the log at once.
func (w watchers) tell() {
	for _, one := range w {
		one.Changed()
	}
}
