package delivery

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// serving is one response under way that a goroutine serves. The goroutine waits for one thing alone, which is cheaper
// than to choose among several: to be roused. What for, it looks up.
//
//	change of the source ──▶ crowd ──┐
//	heartbeat, age, poll ──▶ clock ──┼──▶ asked, roused ──▶ step ──▶ stream
//	client left, Kick ───────────────┘
type serving struct {
	server *Server
	out    stream
	src    Source

	asked  atomic.Uint32
	roused chan struct{} // has room for one
	wrote  atomic.Int64  // when the last write ended, in the server's time

	crowd *crowd // nil: src waits for nothing
	index int    // in it

	told       int           // the outage that the client has been told of
	progressAt time.Duration // when the owner may be told again

	o     Options
	clock clock
	buf   []byte
}

// What others ask of a response.
const (
	askBeat = 1 << iota // a beat, since nothing was written for so long
	askEnd              // the end: it is too old, or a poll has waited for long enough
	askKick             // the end, with the reason
	askGone             // the end of all effort: the client has left
)

func newServing(d *Server, out stream, src Source, o Options) *serving {
	return &serving{server: d, out: out, src: src, o: o, roused: make(chan struct{}, 1)}
}

// Kick makes the response end.
func (s *serving) Kick() { s.ask(askKick) }

func (s *serving) ask(what uint32) {
	s.asked.Or(what)
	s.rouse()
}

// rouse has the goroutine look again, if it waits, or before it does.
func (s *serving) rouse() {
	select {
	case s.roused <- struct{}{}:
	default:
	}
}

func (s *serving) run() error {
	s.out.onGone(func() { s.ask(askGone) })
	s.o.Owner.OnKick(s)
	if err := s.out.start(s.src.Opening(nil, retryFor(s.o))); err != nil {
		return err
	}
	s.clock.start(s)
	defer s.clock.stop()
	defer s.server.crowds.leave(s)
	for {
		if ended, err := s.step(); ended || err != nil {
			return err
		}
	}
}

// step does what is to be done next, which may be to wait.
func (s *serving) step() (ended bool, err error) {
	asked := s.asked.Load()
	switch {
	case asked&^askBeat == 0:
	case asked&askGone != 0:
		return true, errGone
	case asked&askKick != 0:
		return true, s.leave(s.server.config.KickReason)
	default:
		return true, s.leave("")
	}
	frames, err := s.src.Next(maxWrite)
	switch {
	case errors.Is(err, io.EOF):
		return true, nil
	case err != nil:
		return true, err
	case len(frames) != 0:
		return false, s.events(frames)
	}
	if frame, outage := s.src.Waiting(); outage != 0 && outage != s.told {
		s.told = outage
		return false, s.write(frame)
	}
	switch {
	case asked&askBeat != 0:
		s.asked.And(^uint32(askBeat))
		return false, s.say(s.src.Beat(s.buf[:0]))
	case !s.server.crowds.follow(s):
		<-s.roused
	}
	return false, nil
}

// events writes what Next returned.
func (s *serving) events(frames []byte) error {
	if err := s.write(frames); err != nil {
		return err
	}
	s.src.Written()
	if now := time.Duration(s.wrote.Load()); now >= s.progressAt {
		s.progressAt = now + progressEvery
		s.o.Owner.Progress()
	}
	return nil
}

// leave ends the response before the stream does.
func (s *serving) leave(reason string) error {
	last, err := s.src.Leave(s.buf[:0], reason)
	if err != nil {
		return err
	}
	return s.say(last)
}

// say writes what may be nothing.
func (s *serving) say(b []byte) error {
	s.buf = b
	if len(b) == 0 {
		return nil
	}
	return s.write(b)
}

// write writes. A beat that was asked for meanwhile is no longer needed then.
func (s *serving) write(b []byte) error {
	err := s.out.write(b)
	s.wrote.Store(int64(s.server.now()))
	if s.asked.Load()&askBeat != 0 {
		s.asked.And(^uint32(askBeat))
	}
	return err
}
