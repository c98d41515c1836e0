package torture_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// fault is a bug that a bridge could have, planted between it and its client. The zero value and nil do nothing.
type fault struct {
	// request changes a request that carries a Last-Event-ID.
	request func(*http.Request)
	// frame is given each link's frame with the link's number, and that of the end with 0, and returns what the client
	// gets instead. A frame is text up to and with its empty line.
	frame func(n int, frame string) []string
	// control is given each other frame of the bridge's own with its type, and returns what the client gets instead.
	control func(event, frame string) string

	mu sync.Mutex // held while frame is called
}

func (f *fault) onRequest(r *http.Request) {
	if f != nil && f.request != nil && r.Header.Get("Last-Event-ID") != "" {
		f.request(r)
	}
}

var linkNumber = regexp.MustCompile(`"n":"([0-9]{1,9})"`)

func (f *fault) changed(frame string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	if found := linkNumber.FindStringSubmatch(frame); found != nil {
		n, _ = strconv.Atoi(found[1]) // digits, not too many
	}
	return []byte(strings.Join(f.frame(n, frame), ""))
}

func (f *fault) onResponse(r io.Reader) io.Reader {
	if f == nil || f.frame == nil && f.control == nil {
		return r
	}
	return &faulty{fault: f, from: bufio.NewReader(r)}
}

// faulty is a response with a fault in it.
type faulty struct {
	fault *fault
	from  *bufio.Reader
	ready []byte
	frame strings.Builder
}

// Read hands out whole blocks: the head, frames, comments. Each ends with an empty line.
func (f *faulty) Read(p []byte) (int, error) {
	for len(f.ready) == 0 {
		line, err := f.from.ReadString('\n')
		f.frame.WriteString(line)
		if err != nil && f.frame.Len() == 0 {
			return 0, err
		}
		if len(bytes.TrimRight([]byte(line), "\r\n")) > 0 && err == nil {
			continue
		}
		text := f.frame.String()
		f.frame.Reset()
		f.ready = []byte(text)
		_, event, typed := strings.Cut(text, "\nevent: ")
		event, _, _ = strings.Cut(event, "\n")
		switch own := strings.HasPrefix(event, "stream."); {
		case !typed:
		case own && event != "stream.end" && f.fault.control != nil:
			f.ready = []byte(f.fault.control(event, text))
		case (!own || event == "stream.end") && f.fault.frame != nil:
			f.ready = f.fault.changed(text)
		}
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}
