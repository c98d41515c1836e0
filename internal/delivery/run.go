package delivery

import (
	"errors"
	"io"
	"time"
)

// serving is one response under way that a goroutine serves.
//
//   - told is the outage that the client has been told of.
type serving struct {
	out    stream
	src    Source
	config *Config
	o      Options

	told   int
	buf    []byte
	beat   *time.Timer
	age    <-chan time.Time // never, for a source without age
	wait   <-chan time.Time // never, where nobody polls
	kicked chan struct{}    // closed by Kick
}

func newServing(out stream, src Source, config *Config, o Options) *serving {
	return &serving{out: out, src: src, config: config, o: o, kicked: make(chan struct{})}
}

// Kick makes the response end. It is called once.
func (s *serving) Kick() { close(s.kicked) }

func (s *serving) run() error {
	s.o.Owner.OnKick(s)
	if err := s.out.start(s.src.Opening(nil, retryFor(s.o))); err != nil {
		return err
	}
	s.beat = time.NewTimer(vary(s.config.Heartbeat))
	defer s.beat.Stop()
	if !s.src.Ageless() {
		timer := time.NewTimer(vary(s.config.MaxAge))
		defer timer.Stop()
		s.age = timer.C
	}
	if s.o.Wait > 0 {
		timer := time.NewTimer(s.o.Wait)
		defer timer.Stop()
		s.wait = timer.C
	}
	for {
		ended, err := s.step()
		if ended || err != nil {
			return err
		}
		s.beat.Reset(vary(s.config.Heartbeat))
	}
}

// step sends what there is to send, waiting for it, and reports the end.
func (s *serving) step() (ended bool, err error) {
	for {
		select {
		case <-s.age:
			return true, s.leave("")
		case <-s.wait:
			return true, s.leave("")
		case <-s.kicked:
			return true, s.leave(s.config.KickReason)
		case <-s.out.gone():
			return true, errGone
		default:
		}
		// The channel is taken before the look, so that nothing comes unseen between look and wait.
		changed := s.src.Changed()
		frames, err := s.src.Next(maxWrite)
		switch frame, outage := s.src.Waiting(); {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return true, err
		case len(frames) != 0:
			return false, s.events(frames)
		case outage != s.told && outage != 0:
			s.told = outage
			return false, s.out.write(frame)
		}
		select {
		case <-changed:
		case <-s.age:
			return true, s.leave("")
		case <-s.wait:
			return true, s.leave("")
		case <-s.kicked:
			return true, s.leave(s.config.KickReason)
		case <-s.out.gone():
			return true, errGone
		case <-s.beat.C:
			return false, s.say(s.src.Beat(s.buf[:0]))
		}
	}
}

// events writes what Next returned.
func (s *serving) events(frames []byte) error {
	if err := s.out.write(frames); err != nil {
		return err
	}
	s.src.Written()
	s.o.Owner.Progress()
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
	return s.out.write(b)
}
