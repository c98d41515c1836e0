package view

import (
	"errors"
	"io"

	"github.com/grpc-sse/grpc-sse/internal/eventlog"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// Topic is what to watch for a change of what Next or Waiting answers; nil where they stay as they are.
func (v *View) Topic() eventlog.Topic { return v.stream.Topic() }

// Ageless reports that the connection must not be ended because of its age.
func (v *View) Ageless() bool { return v.stream.Ageless() }

// Waiting returns what says that the backend cannot be reached, and the number of the outage; nil and 0 while it can, and
// in representations that do not say it.
func (v *View) Waiting() (frame []byte, outage int) {
	frame, outage = v.stream.Waiting()
	if outage == 0 {
		return nil, 0
	}
	f, _, ok := sse.CutFrame(frame)
	if !ok {
		return nil, 0
	}
	v.wait, _ = v.form.own(v.wait[:0], &f, kindWaiting)
	if len(v.wait) == 0 {
		return nil, 0
	}
	return v.wait, outage
}

// Beat appends what a quiet connection gets: a heartbeat, or that the backend still cannot be reached; and a bookmark if
// it is time for one.
func (v *View) Beat(dst []byte) []byte {
	if frame, outage := v.Waiting(); outage != 0 {
		dst = append(dst, frame...)
	} else {
		dst = v.form.beat(dst)
	}
	return v.due(dst, v.now())
}

// Leave appends what is said before the bridge ends the response by itself: a bookmark, if anything was hidden, and where
// reason is not empty that the connection ends and the stream does not. An error means that the response must be cut,
// since a clean end would be taken for the stream's.
func (v *View) Leave(dst []byte, reason string) ([]byte, error) {
	err := v.end
	if err == nil && !v.ended {
		dst, err = v.form.leave(v.bookmark(dst), reason)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return dst, err
}
