package delivery

import "sync"

// memoryPoller is a poller of a Memory. It tells edges as epoll does; what was told of a descriptor that has been closed
// since comes all the same, as it may with a kernel.
type memoryPoller struct {
	net *Memory

	mu      sync.Mutex
	changed sync.Cond
	events  []readiness // one for a token
	past    []readiness
	stopped bool
	writes  int
}

// TellAgain tells all that was ever told, of descriptors that have long been used again, too.
func (m *Memory) TellAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pollers {
		p.mu.Lock()
		p.events = append(p.events, p.past...)
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

func (m *Memory) newPoller() (poller, error) {
	p := &memoryPoller{net: m}
	p.changed.L = &p.mu
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pollers = append(m.pollers, p)
	return p, nil
}

func (m *memoryPoller) tell(r readiness) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.events {
		if e := &m.events[i]; e.token == r.token {
			e.room, e.gone = e.room || r.room, e.gone || r.gone
			return
		}
	}
	m.events = append(m.events, r)
	m.past = append(m.past, r)
	m.changed.Broadcast()
}

func (m *memoryPoller) add(t token) error {
	p := m.net.at(int(t.fd), "add")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.poller, p.token = m, t
	p.tellLocked()
	return nil
}

func (m *memoryPoller) awaitRoom(t token) error {
	p := m.net.at(int(t.fd), "awaitRoom")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room, p.short = true, true // what is so already is told, too
	p.tellLocked()
	return nil
}

func (m *memoryPoller) write(fd int, first, second []byte) (int, error) {
	m.mu.Lock()
	m.writes++
	m.mu.Unlock()
	p := m.net.at(fd, "write")
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.writeLocked(0, first)
	if err == nil && n == len(first) {
		var more int
		more, err = p.writeLocked(0, second)
		n += more
	}
	p.short = p.short || n < len(first)+len(second)
	p.changed.Broadcast()
	return n, err
}

func (m *memoryPoller) close(fd int, cleanly bool) {
	p := m.net.at(fd, "close")
	if p == nil {
		return
	}
	p.mu.Lock()
	p.poller = nil
	p.closeLocked(1, !cleanly)
	p.mu.Unlock()
	m.net.mu.Lock()
	delete(m.net.fds, fd)
	m.net.mu.Unlock()
}

func (m *memoryPoller) wait(events []readiness) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.events) == 0 && !m.stopped {
		m.changed.Wait()
	}
	if m.stopped {
		return 0, errPollerStopped
	}
	n := copy(events, m.events)
	m.events = m.events[:copy(m.events, m.events[n:])]
	return n, nil
}

func (m *memoryPoller) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	m.changed.Broadcast()
}
