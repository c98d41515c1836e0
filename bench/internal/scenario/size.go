package scenario

import "time"

// Size is how big a run is.
type Size struct {
	Many    int // readers of the big scenarios
	Few     int // readers of the small ones
	Idle    int // idle connections beside a busy stream
	Streams int // idle streams beside a busy one
	Deaf    int // of Many, those that do not read

	CatchUpReaders, CatchUpEvents int

	Tries    int           // of what takes a moment, in one round
	Trial    time.Duration // of a rate, in the search for the greatest
	During   time.Duration // of what is measured
	Settle   time.Duration // how long memory must not have grown
	SettleBy time.Duration // when it is read anyway

	Rate     float64       // deliveries a second where all targets get the same
	Fill     int           // large events that fill the buffers of those who do not read
	Patience time.Duration // how long nothing may arrive that is waited for; 0 is long
	Exact    bool          // figures mean something; else only that everything works
}

// Full is what results are made of.
func Full() Size {
	return Size{
		Many: 10_000, Few: 1_000, Idle: 19_000, Streams: 10_000, Deaf: 1_000, CatchUpReaders: 1_000, CatchUpEvents: 1_000,
		Tries: 5, Trial: time.Second, During: 3 * time.Second, Settle: 3 * time.Second, SettleBy: 20 * time.Second,
		Rate: 20_000, Fill: 40, Exact: true,
	}
}

// Short has the same numbers and takes less time. Memory settles no sooner: what connecting took is given back after some
// seconds.
func Short() Size {
	s := Full()
	s.Tries, s.During = 3, 2*time.Second
	return s
}

// Smoke shows that everything works.
func Smoke() Size {
	return Size{
		Many: 50, Few: 20, Idle: 40, Streams: 20, Deaf: 5, CatchUpReaders: 20, CatchUpEvents: 200,
		Tries: 1, Trial: 50 * time.Millisecond, During: 200 * time.Millisecond,
		Settle: 20 * time.Millisecond, SettleBy: 200 * time.Millisecond, Rate: 1_000, Fill: 5,
		Patience: 5 * time.Second,
	}
}

// scale multiplies numbers of connections.
func (s Size) scale(by float64) Size {
	for _, n := range []*int{&s.Many, &s.Few, &s.Idle, &s.Streams, &s.Deaf, &s.CatchUpReaders} {
		*n = max(1, int(float64(*n)*by))
	}
	return s
}
