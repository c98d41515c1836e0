package eventlog

import "unsafe"

// Held is how many bytes the log holds, counted one by one: what the budget is to say.
func (l *Log) Held() (bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	sizes := []uintptr{uintptr(l.overhead)}
	for _, s := range l.segments {
		sizes = append(sizes,
			unsafe.Sizeof(*s), 2*unsafe.Sizeof(s), uintptr(cap(s.buf)),
			uintptr(cap(s.ends))*unsafe.Sizeof(s.ends[0]), uintptr(cap(s.times))*unsafe.Sizeof(s.times[0]),
			uintptr(len(s.ends))*uintptr(l.beside))
	}
	for _, n := range sizes {
		bytes += int64(n)
	}
	return bytes
}
