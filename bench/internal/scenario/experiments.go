package scenario

import "slices"

// Experiments are all, in the order in which they run and are shown.
func Experiments() []Experiment {
	return slices.Concat([]Experiment{
		idleMemoryExperiment(),
		fanOutManyExperiment(),
		fanOutFewExperiment(),
		inFlightExperiment(flightMany, "Events in flight, 10,000 readers", func(s Size) int { return s.Many }, 2e6),
		inFlightExperiment(flightFew, "Events in flight, 1,000 readers", func(s Size) int { return s.Few }, 0.65e6),
		catchUpExperiment(),
		stormExperiment(),
		perCallExperiment(),
		besideIdleExperiment(),
		slowReadersExperiment(),
	}, formExperiments())
}
