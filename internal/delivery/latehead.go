package delivery

import "net/http"

// lateHead is a response whose Content-Type is known once there is something to write.
type lateHead struct {
	stream
	header  http.Header
	typeOf  func() string
	started bool
}

func (l *lateHead) start(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	return l.write(body)
}

func (l *lateHead) write(b []byte) error {
	if l.started {
		return l.stream.write(b)
	}
	l.started = true
	kind := l.typeOf()
	if kind == "" {
		kind = "application/octet-stream"
	}
	l.header.Set("Content-Type", kind)
	return l.stream.start(b)
}

func (l *lateHead) close(cleanly bool) {
	if cleanly && !l.started {
		cleanly = l.write(nil) == nil
	}
	l.stream.close(cleanly)
}
