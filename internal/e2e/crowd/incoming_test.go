//go:build unix

package crowd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// fate is what a reader does to one of its connections.
type fate struct {
	kind  kind
	how   how
	after int           // cutBehind: how many bytes of the response are taken
	idle  time.Duration // cutBehind: or when so long nothing has come
	slow  time.Duration // a pause before each read
}

type kind int

const (
	keep          kind = iota
	cutInRequest       // in the middle of the request
	cutUnanswered      // right behind the request
	cutBehind          // behind some bytes of the response, mostly inside a frame
)

type how int

const (
	byReset how = iota
	byClose
	byHalf
)

// incoming is the response of one connection.
type incoming struct {
	reader *reader
	conn   *net.TCPConn
	fate   fate
	left   int    // cutBehind: until the cut
	held   []byte // was read and not yet used; in the reader's buffer
}

// more reads more. The error is errCut when the cut was due.
func (in *incoming) more() error {
	r := in.reader
	if r.stall != nil && int(r.read.Load()) >= r.stallAt {
		stall := r.stall
		r.stall = nil
		stall(r, in.conn)
	}
	if in.fate.kind == cutBehind && in.left <= 0 {
		if len(in.held) > 0 {
			r.counts.insideFrame.Add(1)
		}
		return r.cut(in.conn, in.fate)
	}
	if in.fate.slow > 0 {
		<-time.After(in.fate.slow)
	}
	in.room()
	into := r.buffer[len(in.held):cap(r.buffer)]
	wait := silence
	if in.fate.kind == cutBehind {
		into = into[:min(len(into), in.left)]
		wait = in.fate.idle
	}
	_ = in.conn.SetReadDeadline(time.Now().Add(wait)) // the read says what is wrong with the connection
	n, err := in.conn.Read(into)
	in.left -= n
	in.held = r.buffer[:len(in.held)+n]
	switch {
	case n > 0:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && in.fate.kind == cutBehind:
		return r.cut(in.conn, in.fate)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wrong("lost", "the connection was silent for %v", silence)
	case errors.Is(err, net.ErrClosed): // somebody here has cut it
		return errCut
	case r.reset:
		return syscall.ECONNRESET
	}
	return err
}

// room makes room for more behind what is held.
func (in *incoming) room() {
	r := in.reader
	if r.buffer == nil {
		r.buffer = make([]byte, 0, 2048)
	}
	n := len(in.held)
	if n == cap(r.buffer) {
		r.buffer = append(make([]byte, 0, 2*n), in.held...)
	} else {
		copy(r.buffer[:n], in.held)
	}
	in.held = r.buffer[:n]
}

// head reads the head of the response and returns its status.
func (in *incoming) head() (status string, err error) {
	for {
		head, rest, ok := bytes.Cut(in.held, []byte("\r\n\r\n"))
		if !ok {
			if err := in.more(); err != nil {
				return "", err
			}
			continue
		}
		in.held = rest
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		fields := bytes.Fields(line)
		if len(fields) < 2 || bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding")) {
			return "", wrong("frame", "the head is %q", head)
		}
		return string(fields[1]), nil
	}
}

// frames reads the stream until the connection ends.
func (in *incoming) frames() error {
	for {
		block, rest, ok := bytes.Cut(in.held, []byte("\n\n"))
		if ok {
			busy, err := in.reader.frame(block)
			if err != nil {
				return err
			}
			in.held = rest
			if busy {
				return errors.New("busy")
			}
			continue
		}
		err := in.more()
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF) && len(in.held) > 0:
			return wrong("frame", "the response ended cleanly inside a frame: %q", in.held)
		case !in.reader.ended && !errors.Is(err, errCut):
			in.reader.counts.left.Add(1)
		}
		return err
	}
}
